"""The sponsoring participant's front-end (前置) and, behind it, the centre's side of IBPS messages.

A hub posts 101, 305, 307, 309, 311 and 318; the answer to each comes in the HTTP response: the
payee bank's 102 where it answers at once, else the bare 990 that the bytes have arrived, with the
102 pushed later. Netting and clearing notices (601, 603), returns (101 of type A105) and late
answers are pushed. What may go wrong on the way is drawn from ``faults``.
Next: ``network``, which moves the money, and ``notices``, which writes what is pushed.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import NamedTuple

from caiwutong.crypto.gm import Sm2PrivateKey, Sm2PublicKey
from caiwutong.kernel.clock import china_date
from caiwutong.rails.cnaps.signing import KeyRing
from caiwutong.rails.contract import BadMessage
from caiwutong.rails.ibps import codec, profile
from caiwutong.rails.ibps import messages as m
from caiwutong.rails.ibps.reports import TRANSFER
from caiwutong.sandbox.centre import FORWARDED, REFUSED, REVOKED, Transfer
from caiwutong.sandbox.codes import CENTRE_CHECK, END_OF_DAY, LIMIT, OTHER, PAYER_BANK, words_of
from caiwutong.sandbox.entries import (
    REJECTED,
    Execution,
    Instruction,
    Line,
)
from caiwutong.sandbox.faults import FaultKind, Faults
from caiwutong.sandbox.network import Network
from caiwutong.sandbox.wire import Fate, MessageIds, Reply, clean, outage

CHANNEL = "ibps"
_PAGE = 200


class _Answer(NamedTuple):
    """One message on its way back: made, or withheld by a fault (None)."""

    message: m.Message | None
    spoil: bool = False
    """Whether its signature is made wrong on purpose."""
    delay_s: float = 0.0


class Speaker:
    """Signs and frames what the centre says to the participant."""

    def __init__(self, network: Network, key: Sm2PrivateKey, participant: str) -> None:
        self._network = network
        self._key = key
        self._participant = participant
        self._ids = MessageIds()

    def frame(self, message: m.Message, *, sender: str = "", message_id: str = "") -> bytes:
        """The bytes of this message, signed by the centre, under a new id unless one is given."""
        at = self._network.clock.now()
        return codec.encode(
            message,
            sender=sender or self._network.world.centre,
            receiver=self._participant,
            signer=self._key,
            at=at,
            message_id=message_id or self._ids.new(at),
            direction="D",
        )


class Sponsor:
    """Answers IBPS messages of the hub."""

    def __init__(
        self,
        network: Network,
        speaker: Speaker,
        hub_key: Sm2PublicKey,
        push: Callable[[m.Message], None],
    ) -> None:
        """``hub_key`` checks what the hub signs; ``push`` sends a message to the hub later."""
        self.network = network
        self.code = network.world.sponsor
        self.book = network.books[self.code]
        self.returns = "agree"
        """What payee banks say to a request for return (申请退回): ``agree`` or ``refuse``."""
        self._speaker = speaker
        self._ring = KeyRing({self.code: hub_key})
        self._push = push
        self._handlers: dict[type, Callable[[m.Header, m.Message], _Answer]] = {
            m.CreditTransfer: self._credit,
            m.Enquiry: self._enquiry,
            m.Revocation: self._revocation,
            m.BalanceEnquiry: self._balance,
            m.DetailEnquiry: self._detail,
            m.ReturnRequest: self._return_request,
        }

    def handle(self, raw: bytes) -> Reply:
        """The reply to one request body, which may hold several frames end to end. Nothing is
        durable yet: the caller commits before it lets the reply go."""
        try:
            frames = codec.split_frames(raw)
        except BadMessage as error:
            return Reply(str(error).encode(), status=400)
        at = self.network.clock.now()
        first = frames[0].header[74:94].decode("ascii", "replace").strip() if frames else ""
        fate = outage(self.network.faults, first, at, channel=CHANNEL, bank=self.code)
        if fate is not None:
            return Reply(fate=fate, status=503)
        answers = [self._one(frame.header + frame.body) for frame in frames]
        bodies = [self._write(answer) for answer in answers if answer.message is not None]
        delay_s = max((answer.delay_s for answer in answers), default=0.0)
        return Reply(b"".join(bodies), Fate.ANSWERED if bodies else Fate.RESET, delay_s)

    def _write(self, answer: _Answer) -> bytes:
        assert answer.message is not None
        raw = self._speaker.frame(answer.message)
        return spoil_signature(raw) if answer.spoil else raw

    def _one(self, raw: bytes) -> _Answer:
        try:
            frame = codec.decode_frames(raw, self._ring)[0]
        except BadMessage as error:
            return _Answer(self._discard(raw, error))
        header = frame.header
        handler = self._handlers.get(type(frame.message))
        if handler is None or header.sender != self.code:
            return _Answer(m.Discard(_original(header), profile.BAD_FORMAT, words="不受理的报文"))
        return handler(header, frame.message)

    def _discard(self, raw: bytes, error: BadMessage) -> m.Message | None:
        """A 911 for bytes that are no good message; nothing when not even the header can be read,
        because then nobody can be answered."""
        try:
            header = codec.read_headers(raw)[0]
        except BadMessage:
            return None
        bad = profile.BAD_SIGNATURE if "signature" in error.code else profile.BAD_FORMAT
        return m.Discard(_original(header), bad, words=clean(error.code, 100))

    # -- 101

    def _credit(self, header: m.Header, message: m.Message) -> _Answer:
        assert isinstance(message, m.CreditTransfer)
        faults, at = self.network.faults, self.network.clock.now()
        reference = header.message_id

        def strike(kind: FaultKind):
            return faults.strike(kind, reference, at, channel=CHANNEL, bank=self.code)

        if strike(FaultKind.LOST_REQUEST):
            return _Answer(None)
        if rule := strike(FaultKind.LATE):
            self.network.timers.after(rule.delay_s, lambda: self._credit_late(header, message))
            return _Answer(None)
        answer = self._take(header, message)
        if strike(FaultKind.LOST_REPLY):
            return _Answer(None)
        yes = isinstance(answer, m.CreditAnswer) and answer.status == "PR10"
        if yes and tells_late(faults, reference, at):
            answer = m.Acknowledgement(_original(header))
        slow = strike(FaultKind.SLOW)
        spoil = strike(FaultKind.WRONG_SIGNATURE) is not None
        if spoil and isinstance(answer, m.Acknowledgement):
            spoil = False  # a 990 carries no signature
        return _Answer(answer, spoil, slow.delay_s if slow else 0.0)

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
                return m.Discard(_original(header), profile.DUPLICATE, words="报文标识重复")
            transfer = self.network.centre.transfer(order.originator, order.reference)
            return self._answer_to(header, known, transfer)
        today = china_date(self.network.clock.now())
        if china_date(header.at) != today:
            # Bounds how late a lost message can still arrive: only on its own business date. Once
            # that has passed no copy can be taken any more, so the no is definite.
            gone = END_OF_DAY if china_date(header.at) < today else ""
            words = profile.words_for(profile.WRONG_DATE)
            return m.Discard(_original(header), profile.WRONG_DATE, gone, words)
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
        limit = profile.limit_on(china_date(self.network.clock.now()))
        if limit is not None and not limit.allows(message.amount_fen):
            return LIMIT, words_of(LIMIT)
        return None

    def _answer_to(
        self, header: m.Header, execution: Execution, transfer: Transfer | None
    ) -> m.Message:
        original = _original(header)
        if transfer is None and execution.status == REJECTED:
            return m.ProcessingConfirm(
                original, profile.DONE, REFUSED, execution.code, clean(execution.words, 100)
            )
        if transfer is None or transfer.status == FORWARDED:
            return m.Acknowledgement(original)
        return answer_of(transfer)

    # -- 305, 307

    def _enquiry(self, header: m.Header, message: m.Message) -> _Answer:
        assert isinstance(message, m.Enquiry)
        original = message.original
        known = self.book.execution(original.sender, original.message_id)
        transfer = self.network.centre.transfer(original.sender, original.message_id)
        if transfer is not None and original.sender == self.code:
            return _Answer(
                m.EnquiryAnswer(
                    header.message_id,
                    original,
                    profile.DONE,
                    transfer.status,
                    transfer.code,
                    clean(transfer.words, 100),
                    _instant(transfer.decided_at or transfer.received_at),
                    str(transfer.round) if transfer.round else "",
                )
            )
        if known is not None and known.status == REJECTED:
            return _Answer(
                m.EnquiryAnswer(
                    header.message_id,
                    original,
                    profile.DONE,
                    REFUSED,
                    known.code,
                    clean(known.words, 100),
                    _instant(known.decided_at or known.received_at),
                )
            )
        return _Answer(
            m.EnquiryAnswer(header.message_id, original, profile.UNKNOWN_ORIGINAL, words="无此业务")
        )

    def _revocation(self, header: m.Header, message: m.Message) -> _Answer:
        assert isinstance(message, m.Revocation)
        original = message.original
        done, transfer = self.network.revoke(original.sender, original.message_id)
        if done:
            words = words_of("RJ20")
            return _Answer(m.RevocationAnswer(header.message_id, original, REVOKED, words=words))
        why = "无此业务" if transfer is None else f"业务状态 {transfer.status} 不可撤销"
        return _Answer(m.RevocationAnswer(header.message_id, original, REFUSED, OTHER, why))

    # -- 309, 311

    def _balance(self, header: m.Header, message: m.Message) -> _Answer:
        assert isinstance(message, m.BalanceEnquiry)
        found = self.book.account(message.account)
        if found is None or found.owner != "group" or message.bank_code != self.code:
            return _Answer(
                m.BalanceAnswer(
                    header.message_id,
                    message.account,
                    message.bank_code,
                    profile.UNKNOWN_ACCOUNT,
                    words="账户不存在或无权查询",
                )
            )
        return _Answer(
            m.BalanceAnswer(
                header.message_id,
                found.account,
                self.code,
                profile.DONE,
                found.balance_fen,
                found.available_fen,
                self.network.clock.now().replace(microsecond=0),
            )
        )

    def _detail(self, header: m.Header, message: m.Message) -> _Answer:
        assert isinstance(message, m.DetailEnquiry)
        found = self.book.account(message.account)
        cursor = message.cursor or "0"
        known = found is not None and found.owner == "group" and message.bank_code == self.code
        if not known or not cursor.isdigit():
            return _Answer(
                m.DetailAnswer(
                    header.message_id,
                    message.account,
                    message.bank_code,
                    profile.UNKNOWN_ACCOUNT,
                    words="账户不存在或无权查询",
                )
            )
        limit = max(1, min(message.limit, _PAGE))
        lines = self.book.lines(message.account, int(cursor), limit + 1)
        page = lines[:limit]
        return _Answer(
            m.DetailAnswer(
                header.message_id,
                message.account,
                self.code,
                profile.DONE,
                str(page[-1].line_no) if page else cursor,
                len(lines) > limit,
                tuple(_detail_line(line) for line in page),
            )
        )

    # -- 318

    def _return_request(self, header: m.Header, message: m.Message) -> _Answer:
        assert isinstance(message, m.ReturnRequest)
        original = message.original
        transfer = self.network.centre.transfer(original.sender, original.message_id)
        if transfer is None or transfer.amount_fen != message.amount_fen:
            why = "无此业务" if transfer is None else "金额与原业务不符"
        elif self.returns != "agree":
            why = "收款人不同意退回"
        else:
            why = self.network.send_back(transfer, "应付款行申请退回")
        status = REFUSED if why else "PR10"
        code = OTHER if why else ""
        return _Answer(m.ReturnAnswer(header.message_id, original, status, code, why))


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


def spoil_signature(raw: bytes) -> bytes:
    """The same frame with one character of its signature changed, so that it cannot fit."""
    start = raw.rfind(b"<Sgntr>")
    if start < 0:
        return raw
    at = start + len(b"<Sgntr>") + 20
    other = b"A" if raw[at : at + 1] != b"A" else b"B"
    return raw[:at] + other + raw[at + 1 :]


def _original(header: m.Header) -> m.Original:
    return m.Original(header.message_id, header.sender, header.kind)


def _instant(stamp: float) -> datetime:
    return datetime.fromtimestamp(int(stamp), UTC)


def _detail_line(line: Line) -> m.DetailLine:
    return m.DetailLine(
        line_id=f"{line.account}-{line.line_no}",
        booked_at=_instant(line.booked_at),
        value_date=date.fromisoformat(line.day),
        amount_fen=line.amount_fen,
        balance_after_fen=line.balance_after_fen,
        kind=line.kind,
        reference=line.reference,
        counterparty_name=clean(line.counter_name, 140),
        counterparty_account=line.counter_account,
        words=clean(line.words, 140),
    )
