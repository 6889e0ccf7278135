"""The sponsor's door for HVPS and, behind it, the centre's side of its messages.

A hub posts credits (111), transfers between institutions (112), enquiries (316), revocations (307)
and what all channels share. The answer to a credit comes in the HTTP response: a 900 that says
settled (PR04), waiting (PR06) or refused (PR09); what happens later is pushed (``hvps_notices``).
Next: ``hvps_centre``, which decides, and ``doors``, what every door does.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from caiwutong.crypto.gm import Sm2PublicKey
from caiwutong.rails.catalog import Closed
from caiwutong.rails.cnaps import codes
from caiwutong.rails.cnaps import messages as m
from caiwutong.rails.hvps import messages as h
from caiwutong.sandbox.centre import QUEUED, REFUSED, RETURN, REVOKED, SETTLED, Transfer
from caiwutong.sandbox.codes import (
    CENTRE_CHECK,
    END_OF_DAY,
    OTHER,
    PAYER_BANK,
    REVOKED_CODE,
    words_of,
)
from caiwutong.sandbox.doors import Answer, Door, Speaker
from caiwutong.sandbox.doors import original as original_of
from caiwutong.sandbox.entries import REJECTED, Execution, Instruction
from caiwutong.sandbox.faults import FaultKind, Rule
from caiwutong.sandbox.hvps_centre import HvpsCentre
from caiwutong.sandbox.hvps_queue import SYSTEM
from caiwutong.sandbox.sponsored import Sponsored
from caiwutong.sandbox.wire import clean

TRANSFER = "hvps.111.001.01"
_CLOSED = {
    "hours": "非营业时间",
    "holiday": "节假日",
    "clearing_window": "清算窗口，不受理新业务",
    "maintenance": "系统停运",
}


class HvpsDoor(Door):
    """Answers HVPS messages of the hub."""

    def __init__(
        self,
        centre: HvpsCentre,
        sponsored: Sponsored,
        speaker: Speaker,
        hub_key: Sm2PublicKey,
        push: Callable[[Any], None],
    ) -> None:
        """``push`` sends a message to the hub later."""
        super().__init__(centre.network, SYSTEM, speaker, hub_key)
        self._centre = centre
        self._sponsored = sponsored
        self._push = push

    def answer(self, header: m.Header, message: Any) -> Answer | None:
        """What is said to one verified message of the hub; None: it is not taken here."""
        match message:
            case h.CreditTransfer():
                return self._credit(header, message)
            case h.InstitutionTransfer():
                return Answer(self._institution(header, message))
            case m.Enquiry():
                return Answer(self._enquiry(header, message))
            case m.Revocation():
                return Answer(self._revocation(header, message))
            case m.BalanceEnquiry():
                return Answer(self._sponsored.balance(header, message))
            case m.DetailEnquiry():
                return Answer(self._sponsored.detail(header, message))
            case m.ReturnRequest():
                return Answer(self._sponsored.return_request(header, message))
            case m.Question(original=original):
                told = self._told(original)
                return Answer(m.QuestionAnswer(header.message_id, original, told))
            case m.FreeText():
                return Answer(m.Acknowledgement(original_of(header)))
            case m.Probe():
                return Answer(m.ProbeAnswer(header.message_id))
            case _:
                return None

    # -- 111

    def _strike(self, kind: FaultKind, reference: str, bank: str = "") -> Rule | None:
        at = self.network.clock.now()
        faults = self.network.faults
        return faults.strike(kind, reference, at, channel=SYSTEM, bank=bank or self.code)

    def _credit(self, header: m.Header, message: h.CreditTransfer) -> Answer:
        reference = header.message_id
        if self._strike(FaultKind.LOST_REQUEST, reference):
            return Answer(None)
        if rule := self._strike(FaultKind.LATE, reference):
            self.network.timers.after(rule.delay_s, lambda: self._push(self._take(header, message)))
            return Answer(None)
        answer = self._take(header, message)
        if self._strike(FaultKind.LOST_REPLY, reference):
            return Answer(None)
        if self._strike(FaultKind.OUT_OF_ORDER, reference):
            # What is true now comes late, after whatever is pushed meanwhile.
            late = answer
            self.network.timers.after(60, lambda: self._push(late))
            answer = m.Acknowledgement(original_of(header))
        slow = self._strike(FaultKind.SLOW, reference)
        unsigned = isinstance(answer, m.Acknowledgement)
        spoil = self._strike(FaultKind.WRONG_SIGNATURE, reference) is not None and not unsigned
        return Answer(answer, spoil, slow.delay_s if slow else 0.0)

    def _take(self, header: m.Header, message: h.CreditTransfer) -> Any:
        """Execute, once; the same message again gets the present state."""
        order = Instruction(
            originator=header.sender,
            reference=header.message_id,
            payer_account=message.payer.account,
            payer_name=message.payer.name,
            payee_account=message.payee.account,
            payee_name=message.payee.name,
            payee_bank=message.payee.bank_code,
            amount_fen=message.amount_fen,
            purpose=clean(message.remark or message.purpose, 120),
        )
        at = self.network.clock.now()
        known = self.book.execution(order.originator, order.reference)
        if known is not None:
            if known.instruction != order:
                result, words = codes.DUPLICATE, "报文标识重复"
                return m.Discard(original_of(header), result, words=words)
            transfer = self.network.centre.transfer(order.originator, order.reference)
            return confirm(original_of(header), known, transfer)
        today, theirs = self._centre.business_day(at), self._centre.business_day(header.at)
        if today is None or theirs is None or theirs > today:
            words = codes.words_for(codes.WRONG_DATE)
            return m.Discard(original_of(header), codes.WRONG_DATE, words=words)
        if theirs < today:
            # Bounds how late a lost message can still arrive: only on its own business day.
            refusal = END_OF_DAY, codes.words_for(codes.WRONG_DATE)
        else:
            refusal = self._refusal(message, order, at)
        if refusal is not None:
            refused = self.book.refuse(order, *refusal, at, system=SYSTEM)
            return confirm(original_of(header), refused, None)
        due_at = self._due_at(order, at)
        self._centre.queue.note(order.originator, order.reference, message.priority, today, due_at)
        paid = self.network.pay(
            order, self.code, channel=SYSTEM, message_id=order.reference, system=SYSTEM
        )
        return confirm(original_of(header), paid.execution, paid.transfer)

    def _refusal(
        self, message: h.CreditTransfer, order: Instruction, at: datetime
    ) -> tuple[str, str] | None:
        state = self._centre.state(at)
        if isinstance(state, Closed) and (
            state.why == "maintenance" or self._centre.outside_hours == "reject"
        ):
            return CENTRE_CHECK, clean(f"{_CLOSED.get(state.why, '')} {state.words}", 100)
        if message.payer.bank_code != self.code:
            return PAYER_BANK, "付款账户不在本行"
        if message.type_code == RETURN:
            return CENTRE_CHECK, "参与者前置不受理退汇"
        if rule := self._strike(FaultKind.REJECT, order.reference, order.payee_bank):
            return rule.code, words_of(rule.code) or "业务被拒绝"
        return None

    def _due_at(self, order: Instruction, at: datetime) -> float | None:
        """When the payment is looked at: at once, later, or (None) when somebody heals."""
        if self._strike(FaultKind.SILENT, order.reference, order.payee_bank):
            return None
        slow = self._strike(FaultKind.SLOW_BANK, order.reference, order.payee_bank)
        return at.timestamp() + slow.delay_s if slow else 0.0

    # -- 112

    def _institution(self, header: m.Header, message: h.InstitutionTransfer) -> m.ProcessingConfirm:
        if message.payer == self.code:
            why = self._centre.transfer_reserves(
                header.sender, header.message_id, message.payer, message.payee, message.amount_fen
            )
        else:
            why = PAYER_BANK
        status = REFUSED if why else SETTLED
        return m.ProcessingConfirm(
            original_of(header), codes.DONE, status, why, codes.words_for(why)
        )

    # -- 316, 314, 307

    def _enquiry(self, header: m.Header, message: m.Enquiry) -> m.EnquiryAnswer:
        original = message.original
        transfer = self.network.centre.transfer(original.sender, original.message_id)
        if transfer is not None and transfer.originator == self.code:
            return m.EnquiryAnswer(
                header.message_id,
                original,
                codes.DONE,
                transfer.status,
                transfer.code,
                clean(transfer.words, 100),
                _instant(transfer.decided_at or transfer.received_at),
            )
        known = self.book.execution(original.sender, original.message_id)
        if known is not None and known.status == REJECTED:
            return m.EnquiryAnswer(
                header.message_id,
                original,
                codes.DONE,
                REFUSED,
                known.code,
                clean(known.words, 100),
                _instant(known.decided_at or known.received_at),
            )
        return m.EnquiryAnswer(
            header.message_id, original, codes.UNKNOWN_ORIGINAL, words="无此业务"
        )

    def _told(self, original: m.Original) -> str:
        """What the payee's bank says in words."""
        transfer = self.network.centre.transfer(original.sender, original.message_id)
        if transfer is None or transfer.status != SETTLED:
            return "我行未收到该笔来账"
        account = self.network.books[transfer.payee_bank].credited_to(
            transfer.originator, transfer.reference
        )
        return "已入收款人账" if account == transfer.payee_account else "账户信息有误，已挂账待退汇"

    def _revocation(self, header: m.Header, message: m.Revocation) -> m.RevocationAnswer:
        original = message.original
        done, transfer = self._centre.revoke(original.sender, original.message_id)
        if done:
            words = words_of(REVOKED_CODE)
            return m.RevocationAnswer(header.message_id, original, REVOKED, words=words)
        why = "无此业务" if transfer is None else f"业务状态 {transfer.status} 不可撤销"
        return m.RevocationAnswer(header.message_id, original, REFUSED, OTHER, why)


def confirm(
    original: m.Original, execution: Execution | None, transfer: Transfer | None
) -> m.ProcessingConfirm:
    """The 900 that says how a payment stands."""
    if transfer is not None:
        told = transfer.status in (REFUSED, REVOKED)
        return m.ProcessingConfirm(
            original,
            codes.DONE,
            transfer.status,
            transfer.code if told else "",
            clean(transfer.words, 100) if told else "",
        )
    if execution is not None and execution.status == REJECTED:
        words = clean(execution.words, 100)
        return m.ProcessingConfirm(original, codes.DONE, REFUSED, execution.code, words)
    return m.ProcessingConfirm(original, codes.DONE, QUEUED)


def _instant(stamp: float) -> datetime:
    return datetime.fromtimestamp(int(stamp), UTC)
