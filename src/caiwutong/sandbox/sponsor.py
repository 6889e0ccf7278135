"""The sponsoring participant's front-end (前置) and, behind it, the centre's side of IBPS messages.

A hub posts 101, 305, 307, 309, 311 and 318; the answer to each comes in the HTTP response: the
payee bank's 102 where it answers at once, else the bare 990 that the bytes have arrived, with the
102 pushed later. Netting and clearing notices (601, 603), returns (101 of type A105) and late
answers are pushed. What may go wrong on the way is drawn from ``faults``.
Next: ``network``, which moves the money, and ``notices``, which writes what is pushed.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from caiwutong.crypto.gm import Sm2PublicKey
from caiwutong.kernel.clock import china_date
from caiwutong.rails.catalog import shipped, within
from caiwutong.rails.ibps import messages as m
from caiwutong.rails.ibps import profile
from caiwutong.rails.ibps.reports import TRANSFER
from caiwutong.sandbox.centre import FORWARDED, REFUSED, REVOKED, Transfer
from caiwutong.sandbox.codes import CENTRE_CHECK, END_OF_DAY, LIMIT, OTHER, PAYER_BANK, words_of
from caiwutong.sandbox.doors import Answer, Door, Speaker
from caiwutong.sandbox.doors import original as original_of
from caiwutong.sandbox.entries import REJECTED, Execution, Instruction
from caiwutong.sandbox.faults import FaultKind, Faults
from caiwutong.sandbox.network import Network
from caiwutong.sandbox.sponsored import Sponsored
from caiwutong.sandbox.wire import clean

CHANNEL = "ibps"


class Sponsor(Door):
    """Answers IBPS messages of the hub."""

    prefix = "IB1"

    def __init__(
        self,
        network: Network,
        sponsored: Sponsored,
        speaker: Speaker,
        hub_key: Sm2PublicKey,
        push: Callable[[m.Message], None],
    ) -> None:
        """``push`` sends a message to the hub later."""
        super().__init__(network, CHANNEL, speaker, hub_key)
        self._sponsored = sponsored
        self._push = push

    def answer(self, header: m.Header, message: Any) -> Answer | None:
        """What is said to one verified message of the hub; None: it is not taken here."""
        match message:
            case m.CreditTransfer():
                return self._credit(header, message)
            case m.Enquiry():
                return Answer(self._enquiry(header, message))
            case m.Revocation():
                return Answer(self._revocation(header, message))
            case m.BalanceEnquiry():
                return Answer(self._in_our_code(self._sponsored.balance(header, message)))
            case m.DetailEnquiry():
                return Answer(self._in_our_code(self._sponsored.detail(header, message)))
            case m.ReturnRequest():
                return Answer(self._sponsored.return_request(header, message))
            case _:
                return None

    def _in_our_code(
        self, answer: m.BalanceAnswer | m.DetailAnswer
    ) -> m.BalanceAnswer | m.DetailAnswer:
        return msgspec.structs.replace(answer, result=self.own_code(answer.result))

    # -- 101

    def _credit(self, header: m.Header, message: m.CreditTransfer) -> Answer:
        faults, at = self.network.faults, self.network.clock.now()
        reference = header.message_id

        def strike(kind: FaultKind):
            return faults.strike(kind, reference, at, channel=CHANNEL, bank=self.code)

        if strike(FaultKind.LOST_REQUEST):
            return Answer(None)
        if rule := strike(FaultKind.LATE):
            self.network.timers.after(rule.delay_s, lambda: self._credit_late(header, message))
            return Answer(None)
        answer = self._take(header, message)
        if strike(FaultKind.LOST_REPLY):
            return Answer(None)
        yes = isinstance(answer, m.CreditAnswer) and answer.status == "PR10"
        if yes and tells_late(faults, reference, at):
            answer = m.Acknowledgement(original_of(header))
        slow = strike(FaultKind.SLOW)
        spoil = strike(FaultKind.WRONG_SIGNATURE) is not None
        if spoil and isinstance(answer, m.Acknowledgement):
            spoil = False  # a 990 carries no signature
        return Answer(answer, spoil, slow.delay_s if slow else 0.0)

    def _credit_late(self, header: m.Header, message: m.CreditTransfer) -> None:
        self._push(self._take(header, message))

    def _take(self, header: m.Header, message: m.CreditTransfer) -> m.Message:
        """Execute, once; the same message again gets the first answer again."""
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
        known = self.book.execution(order.originator, order.reference)
        if known is not None:
            if known.instruction != order:
                return m.Discard(original_of(header), profile.DUPLICATE, words="报文标识重复")
            transfer = self.network.centre.transfer(order.originator, order.reference)
            return self._answer_to(header, known, transfer)
        today = china_date(self.network.clock.now())
        if china_date(header.at) != today:
            # Bounds how late a lost message can still arrive: only on its own business date. Once
            # that has passed no copy can be taken any more, so the no is definite.
            gone = END_OF_DAY if china_date(header.at) < today else ""
            words = profile.words_for(profile.WRONG_DATE)
            return m.Discard(original_of(header), profile.WRONG_DATE, gone, words)
        if refusal := self._refusal(message):
            code, words = refusal
            refused = self.book.refuse(order, code, words, self.network.clock.now())
            return self._answer_to(header, refused, None)
        paid = self.network.pay(order, self.code, channel=CHANNEL, message_id=order.reference)
        return self._answer_to(header, paid.execution, paid.transfer)

    def _refusal(self, message: m.CreditTransfer) -> tuple[str, str] | None:
        if message.payer.bank_code != self.code:
            return PAYER_BANK, "付款账户不在本行"
        if message.type_code == "A105":
            return CENTRE_CHECK, "参与者前置不受理退汇"
        limit = shipped().limit_on(profile.NAME, self.network.clock.now())
        if limit is not None and not within(limit, message.amount_fen):
            return LIMIT, words_of(LIMIT)
        return None

    def _answer_to(
        self, header: m.Header, execution: Execution, transfer: Transfer | None
    ) -> m.Message:
        original = original_of(header)
        if transfer is None and execution.status == REJECTED:
            return m.ProcessingConfirm(
                original, profile.DONE, REFUSED, execution.code, clean(execution.words, 100)
            )
        if transfer is None or transfer.status == FORWARDED:
            return m.Acknowledgement(original)
        return answer_of(transfer)

    # -- 305, 307

    def _enquiry(self, header: m.Header, message: m.Enquiry) -> m.EnquiryAnswer:
        original = message.original
        known = self.book.execution(original.sender, original.message_id)
        transfer = self.network.centre.transfer(original.sender, original.message_id)
        if transfer is not None and original.sender == self.code:
            return m.EnquiryAnswer(
                header.message_id,
                original,
                profile.DONE,
                transfer.status,
                transfer.code,
                clean(transfer.words, 100),
                _instant(transfer.decided_at or transfer.received_at),
                str(transfer.round) if transfer.round else "",
            )
        if known is not None and known.status == REJECTED:
            return m.EnquiryAnswer(
                header.message_id,
                original,
                profile.DONE,
                REFUSED,
                known.code,
                clean(known.words, 100),
                _instant(known.decided_at or known.received_at),
            )
        return m.EnquiryAnswer(
            header.message_id, original, profile.UNKNOWN_ORIGINAL, words="无此业务"
        )

    def _revocation(self, header: m.Header, message: m.Revocation) -> m.RevocationAnswer:
        original = message.original
        done, transfer = self.network.revoke(original.sender, original.message_id)
        if done:
            words = words_of("RJ20")
            return m.RevocationAnswer(header.message_id, original, REVOKED, words=words)
        why = "无此业务" if transfer is None else f"业务状态 {transfer.status} 不可撤销"
        return m.RevocationAnswer(header.message_id, original, REFUSED, OTHER, why)


def answer_of(transfer: Transfer) -> m.Message:
    """What the payee's bank said to a transfer, as the first answer said it: a 102; for one taken
    back the centre's own word."""
    original = m.Original(transfer.message_id or transfer.reference, transfer.originator, TRANSFER)
    if transfer.status == REVOKED:
        return m.ProcessingConfirm(
            original, profile.DONE, REVOKED, transfer.code, clean(transfer.words, 100)
        )
    refused = transfer.status == REFUSED
    return m.CreditAnswer(
        original=original,
        status=REFUSED if refused else "PR10",
        amount_fen=transfer.amount_fen,
        reason=transfer.code if refused else "",
        words=clean(transfer.words, 100) if refused else "",
        bank_reference="" if refused else f"{transfer.payee_bank}{transfer.seq:012d}",
    )


def tells_late(faults: Faults, reference: str, at: datetime) -> bool:
    """Whether the 102 of this payment is pushed only after its 601 (out of order)."""
    return faults.strike(FaultKind.OUT_OF_ORDER, reference, at, channel=CHANNEL) is not None


def _instant(stamp: float) -> datetime:
    return datetime.fromtimestamp(int(stamp), UTC)
