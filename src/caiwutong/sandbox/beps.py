"""The sponsor's front-end for BEPS and, behind it, the centre's side of its messages.

A hub posts batches (121, 122), real-time credits (123), questions about payments (316) and what all
channels share. The answer to a batch comes in the HTTP response: a 900 with an outcome for each
payment, where PR00 means that the payee's bank has not answered yet. Later answers, netting and
clearing notices and returns are pushed (``beps_notices``). Faults of the line strike whole
messages; faults of the payee's bank strike single payments.

Each payment is executed once by (originating bank, transaction id), whichever batch brings it, and
a refusal is remembered like an execution, so that a copy that comes late changes nothing.
Next: ``beps_centre``, which decides what may be taken and when it is netted.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from caiwutong.crypto.gm import Sm2PublicKey
from caiwutong.kernel.clock import china_date
from caiwutong.rails.beps import messages as b
from caiwutong.rails.beps.profile import round_id
from caiwutong.rails.cnaps import codes
from caiwutong.rails.cnaps import messages as m
from caiwutong.sandbox.beps_centre import SYSTEM, BepsCentre
from caiwutong.sandbox.centre import (
    CONFIRMED,
    FORWARDED,
    NETTED,
    REFUSED,
    RETURN,
    REVOKED,
    Transfer,
)
from caiwutong.sandbox.codes import (
    CENTRE_CHECK,
    END_OF_DAY,
    LIMIT,
    OTHER,
    PAYER_BANK,
    QUOTA,
    words_of,
)
from caiwutong.sandbox.doors import Answer, Door, Speaker, original
from caiwutong.sandbox.entries import PENDING, REJECTED, Execution, Instruction
from caiwutong.sandbox.faults import FaultKind
from caiwutong.sandbox.sponsored import Sponsored
from caiwutong.sandbox.wire import clean

_DECIDED = (CONFIRMED, REFUSED, REVOKED, NETTED, "PR04")


class BepsDoor(Door):
    """Answers BEPS messages of the hub."""

    def __init__(
        self,
        centre: BepsCentre,
        sponsored: Sponsored,
        speaker: Speaker,
        hub_key: Sm2PublicKey,
        push: Callable[[Any], None],
    ) -> None:
        """``push`` sends a message to the hub later."""
        super().__init__(centre.network, SYSTEM, speaker, hub_key)
        self.centre = centre
        self._sponsored = sponsored
        self._push = push

    def answer(self, header: m.Header, message: Any) -> Answer | None:
        """What is said to one verified message of the hub; None: it is not taken here."""
        match message:
            case b.CustomerCredits() | b.InstitutionCredits() | b.RealTimeCredit():
                return self._credits(header, message)
            case b.StatusPull():
                return Answer(self._status(header, message))
            case m.Revocation():
                return Answer(self._revocation(header, message))
            case m.BalanceEnquiry():
                return Answer(self._sponsored.balance(header, message))
            case m.DetailEnquiry():
                return Answer(self._sponsored.detail(header, message))
            case m.ReturnRequest():
                return Answer(self._sponsored.return_request(header, message))
            case m.Question(original=about):
                told = self._told(about.transaction_id or about.message_id)
                return Answer(m.QuestionAnswer(header.message_id, about, told))
            case m.FreeText():
                return Answer(m.Acknowledgement(original(header)))
            case m.Probe():
                return Answer(m.ProbeAnswer(header.message_id))
            case _:
                return None

    # -- 121, 122, 123

    def _credits(self, header: m.Header, message: Any) -> Answer:
        faults, at = self.network.faults, self.network.clock.now()

        def strike(kind: FaultKind):
            return faults.strike(kind, header.message_id, at, channel=SYSTEM, bank=self.code)

        if strike(FaultKind.LOST_REQUEST):
            return Answer(None)
        if rule := strike(FaultKind.LATE):
            later = rule.delay_s
            self.network.timers.after(later, lambda: self._push(self._take(header, message)))
            return Answer(None)
        answer = self._take(header, message)
        if strike(FaultKind.LOST_REPLY):
            return Answer(None)
        if strike(FaultKind.OUT_OF_ORDER):
            # The batch's own answer comes after the notice that its payments are netted.
            late, wait = answer, self.centre.next_round - at
            self.network.timers.after(wait.total_seconds() + 60, lambda: self._push(late))
            answer = m.Acknowledgement(original(header))
        slow = strike(FaultKind.SLOW)
        unsigned = isinstance(answer, m.Acknowledgement)
        spoil = strike(FaultKind.WRONG_SIGNATURE) is not None and not unsigned
        return Answer(answer, spoil, slow.delay_s if slow else 0.0)

    def _take(self, header: m.Header, message: Any) -> Any:
        """Execute every payment, each once. What was taken before gets its present state."""
        if china_date(header.at) > china_date(self.network.clock.now()):
            words = codes.words_for(codes.WRONG_DATE)
            return m.Discard(original(header), codes.WRONG_DATE, words=words)
        if isinstance(message, b.RealTimeCredit):
            outcome = self._pay(header, message.payment)
            return self._real_time_answer(header, message.payment, outcome)
        outcomes = tuple([self._pay(header, credit) for credit in message.payments])
        return confirm(original(header), outcomes)

    def _pay(self, header: m.Header, credit: b.Credit) -> b.Outcome:
        order = Instruction(
            originator=header.sender,
            reference=credit.transaction_id,
            payer_account=credit.payer.account,
            payer_name=credit.payer.name,
            payee_account=credit.payee.account,
            payee_name=credit.payee.name,
            payee_bank=credit.payee.bank_code,
            amount_fen=credit.amount_fen,
            purpose=clean(credit.remark or credit.purpose, 120),
        )
        at = self.network.clock.now()
        known = self.book.execution(order.originator, order.reference)
        if known is not None:
            transfer = self.network.centre.transfer(order.originator, order.reference)
            outcome = _outcome(known, transfer)
            if known.instruction == order:
                return outcome
            return b.Outcome(outcome.transaction_id, outcome.status, words="交易标识号重复")
        if refusal := self._refusal(header, credit, at):
            code, words = refusal
            refused = self.book.refuse(
                order, code, words, at, system=SYSTEM, message_id=header.message_id
            )
            return _outcome(refused, None)
        paid = self.network.pay(
            order, self.code, channel=SYSTEM, message_id=header.message_id, system=SYSTEM
        )
        if paid.execution.status == PENDING and order.payee_bank != self.code:
            self.centre.owed(order.amount_fen)
        return _outcome(paid.execution, paid.transfer)

    def _refusal(self, header: m.Header, credit: b.Credit, at: datetime) -> tuple[str, str] | None:
        if china_date(header.at) < china_date(at):
            # Bounds how late a lost message can still arrive: only on its own business date.
            return END_OF_DAY, codes.words_for(codes.WRONG_DATE)
        if closed := self.centre.closed(at):
            return CENTRE_CHECK, f"系统停运 {closed.words}".strip()
        if credit.payer.bank_code != self.code:
            return PAYER_BANK, "付款账户不在本行"
        if credit.type_code == RETURN:
            return CENTRE_CHECK, "参与者前置不受理退汇"
        if not self.centre.within_limit(credit.amount_fen, at):
            return LIMIT, words_of(LIMIT)
        if not self.centre.within_quota(credit.amount_fen):
            return QUOTA, words_of(QUOTA)
        return None

    def _real_time_answer(self, header: m.Header, credit: b.Credit, outcome: b.Outcome) -> Any:
        if outcome.status == FORWARDED:
            return m.Acknowledgement(original(header))
        return real_time_answer(
            m.Original(credit.transaction_id, header.sender, header.kind, credit.transaction_id),
            credit.amount_fen,
            outcome,
        )

    # -- 316, 314, 307

    def _status(self, header: m.Header, pull: b.StatusPull) -> b.StatusAnswer:
        found = tuple([self._found(header.sender, asked) for asked in pull.payments])
        return b.StatusAnswer(header.message_id, header.sender, found)

    def _found(self, sender: str, asked: b.Asked) -> b.Found:
        reference = asked.transaction_id
        transfer = self.network.centre.transfer(sender, reference)
        if transfer is not None:
            return b.Found(
                reference,
                codes.DONE,
                transfer.status,
                transfer.code,
                _instant(transfer.decided_at or transfer.received_at),
                round_of(transfer),
                clean(transfer.words, 100),
            )
        known = self.book.execution(sender, reference)
        if known is not None and known.status == REJECTED:
            return b.Found(
                reference,
                codes.DONE,
                REFUSED,
                known.code,
                _instant(known.decided_at or known.received_at),
                words=clean(known.words, 100),
            )
        return b.Found(reference, codes.UNKNOWN_ORIGINAL, words="无此业务")

    def _told(self, reference: str) -> str:
        transfer = self.network.centre.transfer(self.code, reference)
        if transfer is None:
            return "无此业务"
        return clean(f"{transfer.status} {transfer.code} {transfer.words}", 200)

    def _revocation(self, header: m.Header, message: m.Revocation) -> m.RevocationAnswer:
        about = message.original
        reference = about.transaction_id or about.message_id
        before = self.network.centre.transfer(about.sender, reference)
        done, transfer = self.network.revoke(about.sender, reference)
        if done:
            if transfer is not None and before is not None and before.status != REVOKED:
                self.centre.revoked(transfer)
            words = words_of("RJ20")
            return m.RevocationAnswer(header.message_id, about, REVOKED, words=words)
        why = "无此业务" if transfer is None else f"业务状态 {transfer.status} 不可撤销"
        if transfer is not None and transfer.status in (FORWARDED, CONFIRMED):
            why = "收款行已入账 不可撤销"
        return m.RevocationAnswer(header.message_id, about, REFUSED, OTHER, why)


def confirm(about: m.Original, outcomes: tuple[b.Outcome, ...]) -> b.BatchConfirm:
    """The 900 that tells these outcomes. The batch as a whole is refused when every payment is,
    confirmed when each is decided, else passed on."""
    statuses = {outcome.status for outcome in outcomes}
    if statuses == {REFUSED}:
        status = REFUSED
    else:
        status = CONFIRMED if statuses <= set(_DECIDED) else FORWARDED
    return b.BatchConfirm(about, codes.DONE, status, outcomes=outcomes)


def outcome_of(transfer: Transfer) -> b.Outcome:
    """How far a payment has come, as the centre has it."""
    refused = transfer.status in (REFUSED, REVOKED)
    return b.Outcome(
        transfer.reference,
        transfer.status,
        transfer.code if refused else "",
        clean(transfer.words, 100) if refused else "",
    )


def real_time_answer(about: m.Original, amount_fen: int, outcome: b.Outcome) -> b.RealTimeAnswer:
    """The 124: what the payee's bank said to a 123."""
    return b.RealTimeAnswer(
        about, outcome.status, amount_fen, reason=outcome.reason, words=outcome.words
    )


def round_of(transfer: Transfer) -> str:
    """The netting round a transfer went into, empty before."""
    if transfer.round is None or transfer.decided_at is None:
        return ""
    return round_id(_instant(transfer.decided_at))


def _outcome(execution: Execution, transfer: Transfer | None) -> b.Outcome:
    if transfer is not None:
        return outcome_of(transfer)
    return b.Outcome(execution.reference, REFUSED, execution.code, clean(execution.words, 100))


def _instant(stamp: float) -> datetime:
    return datetime.fromtimestamp(int(stamp), UTC)
