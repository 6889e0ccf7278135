"""Laws of a payment's life: whatever the rail says, in whatever order, however often, and whatever
people do meanwhile, it ends once, its money moves once, and its hold is gone exactly then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from caiwutong.db.memory import MemoryDatabase
from caiwutong.kernel.clock import ManualClock
from caiwutong.kernel.errors import CaiwutongError
from caiwutong.payments.model import Receipt
from caiwutong.payments.states import AT_THE_RAIL, TABLE, TERMINAL, State
from caiwutong.rails.contract import NOT_FOUND, SILENCE, RailReport, ReportKind
from support.payment_house import LOST, OPENING, REFUSED_CONNECTION, House, memory_house

FEN = 100_00
STEPS = {(state, step.to) for (state, _), step in TABLE.items()}


class Said(msgspec.Struct, frozen=True):
    """One word of the rail about our payment; with another amount it is not about ours."""

    kind: ReportKind
    true_amount: bool = True


class Words(msgspec.Struct, frozen=True):
    """What came in one batch, doubles included."""

    words: tuple[Said, ...]


class Asked(msgspec.Struct, frozen=True):
    """Time passes, and the enquiry that is then due finds this."""

    seconds: int
    kind: ReportKind
    code: str


class Person(msgspec.Struct, frozen=True):
    """Somebody presses a button."""

    button: str


Happening = Words | Asked | Person

kinds = st.sampled_from(list(ReportKind))
happenings: st.SearchStrategy[Happening] = st.one_of(
    st.builds(
        Words,
        st.lists(st.builds(Said, kinds, st.sampled_from([True, True, True, False])), max_size=4)
        .filter(bool)
        .map(tuple),
    ),
    st.builds(
        Asked,
        st.sampled_from([30, 600, 3600, 3 * 3600]),
        st.sampled_from([ReportKind.IN_DOUBT, ReportKind.IN_DOUBT, *ReportKind]),
        st.sampled_from([NOT_FOUND, SILENCE]),
    ),
    st.builds(Person, st.sampled_from(["cancel", "revoke", "ask", "return", "dispatch", "expire"])),
)


class Witness:
    """Sees one payment through and holds every moment against the laws."""

    def __init__(self, house: House, payment_id: UUID) -> None:
        self.house, self.payment_id = house, payment_id
        self.seen = [State.VALIDATED]

    async def live(self, story: Sequence[Happening]) -> None:
        for happening in story:
            await self._happen(happening)
            await self.look()

    async def _happen(self, happening: Happening) -> None:
        house = self.house
        if isinstance(happening, Words):
            reference = (await house.view(self.payment_id)).reference
            if reference:
                reports = [self._report(reference, said) for said in happening.words]
                await house.settlement.apply_many(house.tenant, reports)
        elif isinstance(happening, Asked):
            house.rail.on_enquiry = (happening.kind, happening.code)
            house.clock.advance(happening.seconds)
            await house.recovery.run_once(house.tenant)
        else:
            try:
                await self._press(happening.button)
            except CaiwutongError as error:
                assert error.status < 500 and error.cure, error

    def _report(self, reference: str, said: Said) -> RailReport:
        fen = FEN if said.true_amount else FEN + 1
        return self.house.rail.report(said.kind, reference, amount_fen=fen)

    async def _press(self, button: str) -> None:
        house = self.house
        if button == "cancel":
            await house.requests.cancel(house.tenant, self.payment_id, "person:Chen")
        elif button == "revoke":
            await house.requests.revoke(house.tenant, self.payment_id, "person:Chen")
        elif button == "ask":
            await house.requests.enquire(house.tenant, self.payment_id)
        elif button == "return":
            await house.requests.request_return(
                house.tenant, self.payment_id, "paid by mistake", "person:Chen"
            )
        elif button == "dispatch":
            await house.dispatch.run_once(house.tenant)
        else:
            await house.requests.expire_due(house.tenant)

    async def look(self) -> None:
        view = await self.house.view(self.payment_id)
        before, now = self.seen[-1], view.state
        if now is not before:
            assert before not in TERMINAL, f"{before} is an end and was left for {now}"
            self.seen.append(now)
        posted, held, available = await self.house.money()
        paid = FEN if now is State.COMPLETED and view.returned_at is None else 0
        assert held == (0 if now in TERMINAL else FEN)
        assert posted == OPENING - paid
        assert available == posted - held
        await self.house.proved()

    async def account_for(self) -> None:
        """At the end of the story: the log tells each end once, and the rail saw one reference."""
        told = await self.house.kinds(self.payment_id)
        ends = [k for k in told if k.removeprefix("payment.") in set(TERMINAL)]
        assert len(ends) == (1 if self.seen[-1] in TERMINAL else 0), told
        assert told.count("payment.returned") <= 1
        assert len(set(self.house.rail.sent)) <= 1, "one payment went out under two references"
        if self.house.rail.sent:
            assert self.seen[-1] in AT_THE_RAIL | TERMINAL


first_answers = st.sampled_from([LOST, REFUSED_CONNECTION, *ReportKind])


@given(first_answers, st.booleans(), st.lists(happenings, max_size=8))
@settings(max_examples=80)
def test_a_payment_ends_once_and_its_money_moves_once(
    first_answer: ReportKind | Exception, sent: bool, story: list[Happening]
) -> None:
    async def live() -> None:
        house = await memory_house().open()
        house.rail.on_send = first_answer
        answer = await house.submit(fen=FEN)
        assert isinstance(answer, Receipt)
        witness = Witness(house, answer.payment_id)
        await witness.live([Person("dispatch")] if sent else [])
        house.rail.on_send = ReportKind.ACCEPTED
        await witness.live(story)
        await witness.account_for()

    asyncio.run(live())


@given(st.lists(st.lists(kinds, min_size=1, max_size=3), min_size=1, max_size=6))
@settings(max_examples=60)
def test_how_reports_are_batched_decides_nothing(batches: list[list[ReportKind]]) -> None:
    async def end(split: Sequence[Sequence[ReportKind]]) -> tuple[object, ...]:
        house = await memory_house().open()
        payment = await house.pay(fen=FEN)
        reference = (await house.view(payment)).reference
        for batch in split:
            reports = [house.rail.report(kind, reference) for kind in batch]
            await house.settlement.apply_many(house.tenant, reports)
        view = await house.view(payment)
        return view.state, view.returned_at is None, await house.money(), await house.kinds(payment)

    together = [[kind for batch in batches for kind in batch]]
    one_by_one = [[kind] for kind in together[0]]
    assert asyncio.run(end(batches)) == asyncio.run(end(together)) == asyncio.run(end(one_by_one))


# Several channels: whatever their rails say about whichever attempt, in whatever order.


class About(msgspec.Struct, frozen=True):
    """One word of a rail about one of the payment's attempts (counted from the first, around)."""

    which: int
    kind: ReportKind
    code: str


class Time(msgspec.Struct, frozen=True):
    """Time passes; the questions that are due find this."""

    seconds: int
    kind: ReportKind
    code: str


class Act(msgspec.Struct, frozen=True):
    """Dispatch runs, or people act."""

    what: str


codes = st.sampled_from(["RJ04", "RJ95", "RJ02", "PR03"])
turns = st.one_of(
    st.builds(About, st.integers(0, 3), kinds, codes),
    st.builds(
        Time,
        st.sampled_from([60, 3 * 3600]),
        st.sampled_from([ReportKind.IN_DOUBT, ReportKind.IN_DOUBT, *ReportKind]),
        st.sampled_from([SILENCE, SILENCE, NOT_FOUND, "RJ04"]),
    ),
    st.builds(
        Act, st.sampled_from(["dispatch", "dispatch", "switch", "switch", "cancel", "revoke"])
    ),
)
UNPAID = (State.REJECTED, State.CANCELLED, State.REVERSED)


class ManyWays:
    """Sees a payment through three channels and holds every moment against the laws."""

    def __init__(self, house: House, payment_id: UUID) -> None:
        self.house, self.payment_id = house, payment_id
        self.state = State.VALIDATED

    async def live(self, turn: About | Time | Act) -> None:
        house = self.house
        rails = (house.rail, house.other, house.hvps)
        if isinstance(turn, About):
            attempts = await house.attempts(self.payment_id)
            if attempts:
                about = attempts[turn.which % len(attempts)]
                rail = next(r for r in rails if r.name == about.rail)
                report = rail.report(turn.kind, about.reference, turn.code)
                await house.settlement.apply_many(house.tenant, [report])
        elif isinstance(turn, Time):
            for rail in rails:
                rail.on_enquiry = (turn.kind, turn.code)
            house.clock.advance(turn.seconds)
            await house.recovery.run_once(house.tenant)
        else:
            try:
                await self._act(turn.what)
            except CaiwutongError as error:
                assert error.status < 500 and error.cure, error

    async def _act(self, what: str) -> None:
        house = self.house
        if what == "dispatch":
            await house.dispatch.run_once(house.tenant)
        elif what == "cancel":
            await house.requests.cancel(house.tenant, self.payment_id, "person:Chen")
        elif what == "revoke":
            await house.requests.revoke(house.tenant, self.payment_id, "person:Chen")
        else:
            await house.switching.ask(house.tenant, self.payment_id, "late", house.key_id, "erp")
            for signer in (0, 1):
                await house.sign_switch(self.payment_id, signer)

    async def look(self) -> None:
        house = self.house
        view, attempts = await house.view(self.payment_id), await house.attempts(self.payment_id)
        before, self.state = self.state, view.state
        assert before is self.state or before not in TERMINAL
        posted, held, _ = await house.money()
        paid = FEN if self.state is State.COMPLETED and view.returned_at is None else 0
        assert (posted, held) == (OPENING - paid, 0 if self.state in TERMINAL else FEN)
        assert sum(not a.outcome for a in attempts) == (self.state in AT_THE_RAIL) or (
            # Fallen back to an attempt that people left: none is open, and one may have paid.
            self.state in AT_THE_RAIL
            and any(a.outcome == "switched" and not a.later for a in attempts)
        )
        assert all(a.outcome in ("rejected", "revoked", "switched") for a in attempts[:-1])
        assert len({a.rail for a in attempts}) == len(attempts), "a channel was tried twice"
        confessed = [a for a in attempts if a.later in ("netted", "settled")]
        if before is not self.state and self.state in UNPAID:
            assert not confessed
            assert not any(a.outcome == "switched" and not a.later for a in attempts)
        executions = len(confessed) + sum(a.outcome == "completed" for a in attempts)
        contradicted = any(a.outcome != "switched" for a in confessed)
        if executions > 1 or contradicted or (confessed and not all(a.outcome for a in attempts)):
            assert view.alarm, "nobody was told that it may be paid twice"


LEFT = [Time(3 * 3600, ReportKind.IN_DOUBT, SILENCE), Act("switch")]
beginnings: st.SearchStrategy[list[About | Time | Act]] = st.sampled_from(
    [[], LEFT, [*LEFT, Act("dispatch")], [*LEFT, Act("dispatch"), *LEFT, Act("dispatch")]]
)


@given(beginnings, st.lists(turns, max_size=10))
@settings(max_examples=150)
def test_many_channels_pay_once_and_never_end_unpaid_in_doubt(
    beginning: list[About | Time | Act], rest: list[About | Time | Act]
) -> None:
    async def live() -> None:
        clock = ManualClock(datetime(2026, 11, 2, 1, 0, tzinfo=UTC))
        modes = ("ibps", "bank_direct", "hvps")
        house = await House(MemoryDatabase(), clock, memory=True, modes=modes).open()
        for rail in (house.rail, house.other, house.hvps):
            rail.on_send = LOST
        answer = await house.submit(fen=FEN)
        assert isinstance(answer, Receipt)
        witness = ManyWays(house, answer.payment_id)
        await witness.live(Act("dispatch"))
        for turn in (*beginning, *rest):
            await witness.live(turn)
            await witness.look()
        await house.proved()

    asyncio.run(live())
