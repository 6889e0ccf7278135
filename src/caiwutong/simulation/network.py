"""What lies between hub and bank, and loses, delays, doubles and garbles what it carries.

``SimRail`` is a rail as the contract asks for it; ``Network`` carries its messages to the bank and
the bank's notices back to whichever API process is up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta

from caiwutong.kernel.errors import Refused, Unavailable
from caiwutong.rails.contract import (
    SILENCE,
    AccountAtBank,
    Attempt,
    BadMessage,
    BankBalance,
    Concerning,
    NotSent,
    RailMessage,
    RailReport,
    ReportKind,
    SentInDoubt,
    StatementPage,
)
from caiwutong.simulation.bank import Bank, Channel
from caiwutong.simulation.chance import Chance, Fault
from caiwutong.simulation.loop import SimClock, SimLoop
from caiwutong.simulation.trace import Trace
from caiwutong.simulation.wire import (
    Ask,
    AskBack,
    Message,
    Pay,
    PayOrder,
    Revoke,
    Say,
    Word,
    garbled,
    opened,
    sealed,
    signed_by_another,
)

PATIENCE_S = 30.0
"""How long the hub waits for an answer."""

LINES_A_PAGE = 10

NOTICE_TRIES = 3
"""How often the bank repeats a notice nobody confirms; a return it repeats for ever."""

Deliver = Callable[[str, bytes], Awaitable[bool]]
"""Hands a notice to an API process; true when it confirms it."""


class Network:
    """Carries bytes, and does to them what the seed says."""

    def __init__(self, loop: SimLoop, clock: SimClock, chance: Chance, trace: Trace) -> None:
        self.loop = loop
        self.clock = clock
        self.chance = chance
        self.trace = trace
        self.bank: Bank
        self.deliver: Deliver
        self._away_until = 0.0
        self._held: tuple[Channel, bytes, bool] | None = None
        self._jammed: dict[str, float] = {}
        """Until when messages that pay these references do not get through."""
        self._mute: dict[str, float] = {}
        """Until when a channel takes messages and says nothing."""

    # Hub to bank.

    def bank_goes_away(self, seconds: float) -> None:
        """Nobody reaches the bank for so long."""
        self._away_until = self.loop.time() + seconds

    def channel_goes_mute(self, name: str, seconds: float) -> None:
        """What is sent over it may arrive; no answer and no notice comes back for so long."""
        self._mute[name] = self.loop.time() + seconds

    def _is_mute(self, channel: Channel) -> bool:
        return self._mute.get(channel.name, 0.0) > self.loop.time()

    def heal(self) -> None:
        self._away_until = 0.0
        self._mute.clear()
        self._jammed.clear()

    async def carry(
        self,
        channel: Channel,
        body: bytes,
        about: str,
        crash_point: Callable[[Fault], object],
        *,
        paying: bool = False,
    ) -> bytes:
        """The bank's answer. Raises NotSent or SentInDoubt."""
        strikes, draw = self.chance.strikes, self.chance.delays
        crash_point(Fault.CRASH_BEFORE_SEND)
        await asyncio.sleep(draw.uniform(0.005, 0.05))
        if self.loop.time() < self._away_until or strikes(Fault.CONNECTION_REFUSED, about):
            raise NotSent("simulation.refused", "The connection was refused.")
        if strikes(Fault.REQUEST_LOST, about):
            await self._silence("request lost")
        if self._is_mute(channel):
            if paying and draw.random() < 0.7:
                self._arrive(channel, body)
            await self._silence("the channel is mute")
        if paying and strikes(Fault.REQUEST_LATE, about):
            late = draw.choice((40.0, 600.0, 3600.0)) * draw.random()
            on_the_edge = draw.random() < 0.5
            if on_the_edge:
                late = channel.valid_for_s * draw.uniform(0.8, 1.1)  # Just in time, or not quite.
            self.loop.later(late, self._arrive, channel, body)
            if on_the_edge or draw.random() < 0.5:
                # What is sent again meanwhile gets stuck too: only enquiries come through.
                self._jammed[about] = self.loop.time() + late
            await self._silence("request late")
        if paying and self._jammed.get(about, 0.0) > self.loop.time():
            await self._silence("request stuck")
        answer = self._arrive(channel, body)
        if strikes(Fault.REQUEST_TWICE, about):
            self.loop.later(draw.uniform(0.01, 300), self._arrive, channel, body)
        crash_point(Fault.CRASH_BEFORE_SETTLE)
        if strikes(Fault.REPLY_LOST, about):
            await self._silence("reply lost")
        wait = draw.uniform(0.005, 0.05)
        if strikes(Fault.REPLY_LATE, about):
            wait = draw.uniform(1, PATIENCE_S)
        await asyncio.sleep(wait)
        if strikes(Fault.REPLY_GARBAGE, about):
            return garbled(answer)
        if strikes(Fault.REPLY_BADLY_SIGNED, about):
            return signed_by_another(answer)
        return answer

    async def reach(self, about: str) -> None:
        """Come through to the bank with a question about accounts. Raises Unavailable."""
        strikes = self.chance.strikes
        await asyncio.sleep(self.chance.delays.uniform(0.005, 0.05))
        if (
            self.loop.time() < self._away_until
            or strikes(Fault.CONNECTION_REFUSED, about)
            or strikes(Fault.REPLY_LOST, about)
        ):
            raise Unavailable("simulation.away", "The bank does not answer.")

    def _arrive(self, channel: Channel, body: bytes) -> bytes:
        return sealed(self.bank.take(channel, opened(body)))

    async def _silence(self, words: str) -> None:
        await asyncio.sleep(PATIENCE_S)
        raise SentInDoubt("simulation.silence", f"No answer: {words}.")

    # Bank to hub.

    def notify(self, channel: Channel, word: Word, until_confirmed: bool) -> None:
        """Carry a notice of the bank, or what is left of it."""
        strikes, draw = self.chance.strikes, self.chance.delays
        body = sealed(Say([word]))
        if not until_confirmed and self._is_mute(channel):
            return
        if not until_confirmed and strikes(Fault.NOTICE_LOST, word.reference):
            return
        if self._held is None and strikes(Fault.NOTICE_OUT_OF_ORDER, word.reference):
            self._held = channel, body, until_confirmed
            self.loop.later(3600, self._let_go)
            return
        wait = draw.uniform(0.01, 1)
        if strikes(Fault.NOTICE_LATE, word.reference):
            wait = draw.choice((60.0, 7200.0)) * draw.random()
        self._post(wait, channel, body, until_confirmed)
        if strikes(Fault.NOTICE_GARBLED, word.reference):
            spoil = draw.choice((garbled, signed_by_another))
            self._post(wait * draw.random(), channel, spoil(body), False)
        if strikes(Fault.NOTICE_TWICE, word.reference):
            self._post(wait + draw.uniform(0, 600), channel, body, until_confirmed)
        self._let_go(wait + 1)

    def _let_go(self, wait: float = 0.0) -> None:
        if self._held is not None:
            held, self._held = self._held, None
            self._post(wait, *held)

    def _post(self, wait: float, channel: Channel, body: bytes, until_confirmed: bool) -> None:
        def start() -> None:
            self.loop.spawn(self._bring(channel, body, until_confirmed))

        self.loop.later(wait, start)

    async def _bring(self, channel: Channel, body: bytes, until_confirmed: bool) -> None:
        tries = 0
        while until_confirmed or tries < NOTICE_TRIES:
            tries += 1
            if await self.deliver(channel.name, body):
                return
            await asyncio.sleep(self.chance.delays.uniform(5, 120))


class SimRail:
    """One rail of one hub process."""

    def __init__(
        self, network: Network, channel: Channel, crash_point: Callable[[Fault], object]
    ) -> None:
        self._network = network
        self._channel = channel
        self._crash_point = crash_point
        self.name = channel.name

    def valid_until(self, at: datetime) -> datetime:
        return at + timedelta(seconds=self._channel.valid_for_s)

    def encode_many(self, attempts: Sequence[Attempt]) -> list[RailMessage]:
        """Messages of at most so many attempts. Refuses a payee without a bank code where the rail
        needs one, as the central bank's systems do."""
        for attempt in attempts:
            if self._channel.needs_bank_code and not attempt.payee.bank_code:
                raise Refused("simulation.no_bank_code", f"{attempt.reference} names no bank.")
        most = self._channel.most_a_message
        groups = [attempts[at : at + most] for at in range(0, len(attempts), most)]
        return [
            RailMessage(
                message_id=group[0].reference,
                kind="pay",
                references=tuple(a.reference for a in group),
                body=sealed(Pay([_order(a) for a in group])),
            )
            for group in groups
        ]

    async def send(self, message: RailMessage) -> bytes:
        about = " ".join(message.references)
        return await self._network.carry(
            self._channel, message.body, about, self._crash_point, paying=True
        )

    def decode(self, raw: bytes) -> list[RailReport]:
        message = opened(raw)
        if not isinstance(message, Say):
            raise BadMessage("simulation.not_for_us", "A message that the bank does not send.")
        return [self._report(word) for word in message.words]

    async def enquire(self, attempts: Sequence[Attempt]) -> list[RailReport]:
        about = " ".join(a.reference for a in attempts)
        if self._network.chance.strikes(Fault.ENQUIRY_UNANSWERED, about):
            await asyncio.sleep(PATIENCE_S)
            return [self._doubt(a, Concerning.PAYMENT) for a in attempts]
        question = Ask([a.reference for a in attempts])
        try:
            return await self._request(question, about)
        except (NotSent, SentInDoubt):
            return [self._doubt(a, Concerning.PAYMENT) for a in attempts]

    async def revoke(self, attempt: Attempt) -> list[RailReport]:
        return await self._ask_for(attempt, Revoke(attempt.reference), Concerning.REVOCATION)

    async def request_return(self, attempt: Attempt, reason: str) -> list[RailReport]:
        return await self._ask_for(attempt, AskBack(attempt.reference), Concerning.RETURN_REQUEST)

    async def balances(self, accounts: Sequence[AccountAtBank]) -> list[BankBalance]:
        await self._network.reach("balances")
        bank, now = self._network.bank, self._network.clock.now()
        return [
            BankBalance(a.account, kept.balance_fen, kept.balance_fen, now)
            for a in accounts
            if (kept := bank.accounts.get(a.account))
        ]

    async def statement(self, account: AccountAtBank, cursor: str) -> StatementPage:
        await self._network.reach(f"statement from {cursor}")
        lines = self._network.bank.accounts[account.account].lines or []
        start = int(cursor or 0)
        end = min(start + LINES_A_PAGE, len(lines))
        return StatementPage(tuple(lines[start:end]), str(end), end < len(lines))

    async def _ask_for(
        self, attempt: Attempt, message: Message, concerning: Concerning
    ) -> list[RailReport]:
        try:
            return await self._request(message, attempt.reference)
        except (SentInDoubt, BadMessage):
            return [self._doubt(attempt, concerning)]

    async def _request(self, message: Message, about: str) -> list[RailReport]:
        raw = await self._network.carry(self._channel, sealed(message), about, self._crash_point)
        return self.decode(raw)

    def _doubt(self, attempt: Attempt, concerning: Concerning) -> RailReport:
        return RailReport(
            ReportKind.IN_DOUBT,
            self.name,
            attempt.reference,
            SILENCE,
            self._network.clock.now(),
            concerning=concerning,
        )

    def _report(self, word: Word) -> RailReport:
        return RailReport(
            word.kind,
            self.name,
            word.reference,
            word.code,
            word.at,
            word.words,
            word.amount_fen,
            concerning=word.concerning,
        )


def _order(attempt: Attempt) -> PayOrder:
    return PayOrder(
        attempt.reference,
        attempt.payer.account,
        attempt.payee.account,
        attempt.payee.name,
        attempt.amount_fen,
        attempt.valid_until,
        attempt.remark,
    )
