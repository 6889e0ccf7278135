"""Bytes ↔ messages, for both sides of the wire: the hub writes requests and reads answers and
notices; a bank reads requests and writes answers and notices.

Pure. Order of belief when reading: size, base64, cipher, JSON, signature over the bytes that came,
then the content. Unknown fields are ignored, missing ones refused; trailing spaces of the bank's
fixed-width fields are cut. Only ``BadMessage`` escapes. Read next: ``reports.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from caiwutong.rails.bank_direct.fields import bank_time, instant
from caiwutong.rails.bank_direct.styles.cmb import account_messages as accounts
from caiwutong.rails.bank_direct.styles.cmb import messages, profile
from caiwutong.rails.bank_direct.styles.cmb.envelope import (
    PLACEHOLDER,
    Form,
    Keys,
    Signature,
    canonical,
    check_fresh,
    check_signature,
    check_size,
    open_sealed,
    padded,
    read_form,
    seal,
    seal_text,
    write_form,
)
from caiwutong.rails.bank_direct.styles.cmb.messages import Notice, Wire
from caiwutong.rails.bank_direct.words import bad

REQUESTS: dict[str, type[Wire]] = {
    profile.PAY: messages.PayRequest,
    profile.PAY_BATCH: messages.BatchPayRequest,
    profile.PAY_QUERY: messages.PayQueryRequest,
    profile.BATCH_LIST: messages.BatchListRequest,
    profile.BATCH_DETAIL: messages.BatchDetailRequest,
    profile.RETURNS_OF_ACCOUNT: messages.ReturnsRequest,
    profile.RETURNS_BY_DAY: messages.ReturnsByDayRequest,
    profile.BALANCES: accounts.BalancesRequest,
    profile.PAST_BALANCES: accounts.PastBalancesRequest,
    profile.STATEMENT: accounts.StatementRequest,
    profile.RECEIPT: accounts.ReceiptRequest,
}
ANSWERS: dict[str, type[Wire]] = {
    profile.PAY: messages.PayAnswer,
    profile.PAY_BATCH: messages.BatchPayAnswer,
    profile.PAY_QUERY: messages.PayQueryAnswer,
    profile.BATCH_LIST: messages.BatchListAnswer,
    profile.BATCH_DETAIL: messages.BatchDetailAnswer,
    profile.RETURNS_OF_ACCOUNT: messages.ReturnsAnswer,
    profile.RETURNS_BY_DAY: messages.ReturnsByDayAnswer,
    profile.BALANCES: accounts.BalancesAnswer,
    profile.PAST_BALANCES: accounts.PastBalancesAnswer,
    profile.STATEMENT: accounts.StatementAnswer,
    profile.RECEIPT: accounts.ReceiptAnswer,
}
_FUNCTION_OF = {kind: function for function, kind in REQUESTS.items()}
_NOTICES: dict[str, tuple[str, type[Wire]]] = {
    "NCCRTTRS": (profile.ACCOUNT_CHANGED, messages.AccountChange),
    "NCDBTTRS": (profile.ACCOUNT_CHANGED, messages.AccountChange),
    "FINS": (profile.PAYMENT_RESULT, messages.PaymentFinished),
    "FINB": (profile.PAYMENT_RESULT, messages.PaymentCameBack),
}
_NOTICE_IDENTITY = b"1234567812345678"
"""Notices are signed under the standard SM2 identity, not under the user id (M)."""

KeysOf = Callable[[str], Keys | None]
"""The keys of the link with this user id, or None where there is no such link."""

T = TypeVar("T")


class Request(msgspec.Struct, frozen=True):
    """A request as a bank reads it."""

    user_id: str
    function: str
    request_id: str
    signed_at: datetime
    body: Wire


class Answer(msgspec.Struct, frozen=True):
    """An answer as we read it. ``body`` is None unless the bank accepted the request."""

    user_id: str
    function: str
    request_id: str
    """As we sent it: for a payment it carries our reference (see ``pay_request_id``)."""
    response_id: str
    result_code: str
    result_message: str
    signed_at: datetime
    body: Wire | None

    @property
    def accepted(self) -> bool:
        """Whether the bank received the request. Says nothing of the business inside."""
        return self.result_code == profile.CMB_CLOUD.accepted_code


class Notification(msgspec.Struct, frozen=True):
    """A notice as we read it."""

    user_id: str
    kind: str
    """``YQN01010`` or ``YQN02030``."""
    number: str
    signed_at: datetime
    event: Notice


class _RequestHead(msgspec.Struct, frozen=True):
    funcode: str
    userid: str
    reqid: str


class _AnswerHead(msgspec.Struct, frozen=True, kw_only=True):
    bizcode: str = ""
    funcode: str
    userid: str
    reqid: str
    rspid: str
    resultcode: str
    resultmsg: str = ""


class _RequestParts(msgspec.Struct, frozen=True):
    head: _RequestHead
    body: msgspec.Raw


class _AnswerParts(msgspec.Struct, frozen=True):
    head: _AnswerHead
    body: msgspec.Raw = msgspec.Raw(b"{}")


class _RequestText(msgspec.Struct, frozen=True):
    request: _RequestParts
    signature: Signature


class _AnswerText(msgspec.Struct, frozen=True):
    response: _AnswerParts
    signature: Signature


class _NoticeText(msgspec.Struct, frozen=True):
    sigtim: str
    sigdat: str
    notdat: str
    nottyp: str
    notnbr: str = ""
    notkey: str = ""
    usrnbr: str = ""


class _NoticeEnvelope(msgspec.Struct, frozen=True):
    corpNbr: str  # noqa: N815 - the bank's own name
    enptData: str  # noqa: N815


class _NoticeData(msgspec.Struct, frozen=True):
    msgtyp: str
    msgdat: msgspec.Raw


# ---- requests


def function_of(body: Wire) -> str:
    """The function code of a request's body."""
    return _FUNCTION_OF[type(body)]


def encode_request(body: Wire, *, user_id: str, request_id: str, at: datetime, keys: Keys) -> bytes:
    """The form that carries this request, signed as of ``at``."""
    function = function_of(body)
    head = _RequestHead(function, user_id, request_id)
    iv = padded(user_id)
    document = {"request": {"body": body, "head": head}}
    return write_form(Form(user_id, function, seal(document, iv=iv, identity=iv, at=at, keys=keys)))


def decode_request(raw: bytes, keys_of: KeysOf, *, now: datetime | None = None) -> Request:
    """The request in a form. With ``now``, one signed more than an hour away is refused."""
    form = read_form(raw)
    keys = _keys(form.user_id, keys_of)
    iv = padded(form.user_id)
    text = open_sealed(form.data, iv=iv, cipher=keys.cipher)
    parsed = _read(text, _RequestText)
    check_signature(text, parsed.signature.sigdat, identity=iv, verifier=keys.verifier)
    signed_at = instant(parsed.signature.sigtim)
    if now is not None:
        check_fresh(signed_at, now)
    head = parsed.request.head
    if (head.userid, head.funcode) != (form.user_id, form.function):
        raise bad("form", "The form names another user or function than the signed text.")
    if head.funcode not in REQUESTS:
        raise bad("unknown_function", f"There is no function {head.funcode[:24]!r}.")
    body = _trimmed(_read(parsed.request.body, REQUESTS[head.funcode]))
    return Request(head.userid, head.funcode, head.reqid, signed_at, body)


# ---- answers


def encode_answer(
    body: Wire | None,
    *,
    request: Request,
    response_id: str,
    at: datetime,
    keys: Keys,
    result_code: str = profile.CMB_CLOUD.accepted_code,
    result_message: str = "",
) -> bytes:
    """What a bank sends back to ``request``: bare base64."""
    head = _AnswerHead(
        funcode=request.function,
        userid=request.user_id,
        reqid=request.request_id,
        rspid=response_id,
        resultcode=result_code,
        resultmsg=result_message,
    )
    iv = padded(request.user_id)
    inner: Any = {} if body is None else body
    document = {"response": {"body": inner, "head": head}}
    return seal(document, iv=iv, identity=iv, at=at, keys=keys)


def decode_answer(raw: bytes, *, user_id: str, function: str, keys: Keys) -> Answer:
    """The bank's answer to a request of this user and function."""
    iv = padded(user_id)
    text = open_sealed(raw.strip(), iv=iv, cipher=keys.cipher)
    parsed = _read(text, _AnswerText)
    check_signature(text, parsed.signature.sigdat, identity=iv, verifier=keys.verifier)
    head = parsed.response.head
    if (head.userid, head.funcode) != (user_id, function) or function not in ANSWERS:
        raise bad("other_answer", "The answer belongs to another user or function.")
    code = head.resultcode.strip()
    body = None
    if code == profile.CMB_CLOUD.accepted_code:
        body = _trimmed(_read(parsed.response.body, ANSWERS[function]))
    return Answer(
        user_id=user_id,
        function=function,
        request_id=head.reqid,
        response_id=head.rspid,
        result_code=code,
        result_message=head.resultmsg.strip(),
        signed_at=instant(parsed.signature.sigtim),
        body=body,
    )


# ---- notices


def encode_notice(event: Notice, *, user_id: str, number: str, at: datetime, keys: Keys) -> bytes:
    """What a bank posts to the enterprise: JSON with the user id and the sealed notice."""
    subtype = _subtype(event)
    kind = _NOTICES[subtype][0]
    inner = canonical({"msgdat": event, "msgtyp": subtype}).decode()
    text = _NoticeText(bank_time(at), PLACEHOLDER, inner, kind, number)
    data = seal_text(canonical(text), iv=padded(user_id), identity=_NOTICE_IDENTITY, keys=keys)
    return canonical(_NoticeEnvelope(user_id, data.decode()))


def decode_notice(raw: bytes, keys_of: KeysOf) -> Notification:
    """The notice a bank posted. It may be late: a notice is news whenever it comes."""
    check_size(raw)
    envelope = _read(raw, _NoticeEnvelope)
    keys = _keys(envelope.corpNbr, keys_of)
    text = open_sealed(envelope.enptData.encode(), iv=padded(envelope.corpNbr), cipher=keys.cipher)
    parsed = _read(text, _NoticeText)
    check_signature(text, parsed.sigdat, identity=_NOTICE_IDENTITY, verifier=keys.verifier)
    data = _read(parsed.notdat.encode(), _NoticeData)
    kind, event_type = _NOTICES.get(data.msgtyp, ("", Wire))
    if kind != parsed.nottyp:
        raise bad("unknown_notice", f"There is no notice {parsed.nottyp[:12]}/{data.msgtyp[:12]}.")
    return Notification(
        user_id=envelope.corpNbr,
        kind=kind,
        number=parsed.notnbr,
        signed_at=instant(parsed.sigtim),
        event=_trimmed(_read(data.msgdat, event_type)),  # pyright: ignore[reportArgumentType]
    )


# ---- the reference inside a request id

_TIME_CHARS = 17


def pay_request_id(at: datetime, reference: str) -> str:
    """reqid of a payment: ``yyyyMMddHHmmssSSS`` and our reference, because the bank's answer to a
    payment echoes the request id and not the reference. The same attempt gives the same id."""
    return f"{bank_time(at)}{at.microsecond // 1000:03d}{reference}"


def reference_of(request_id: str) -> str:
    """Our reference inside the request id of a payment. Raises BadMessage where there is none."""
    reference = request_id[_TIME_CHARS:]
    if not reference:
        raise bad("request_id", "The request id of the answer carries no reference.")
    return reference


# ---- reading


def _keys(user_id: str, keys_of: KeysOf) -> Keys:
    keys = keys_of(user_id)
    if keys is None:
        raise bad("unknown_user", "There is no link with the user id of this message.")
    return keys


def _subtype(event: Notice) -> str:
    match event:
        case messages.AccountChange(side="C"):
            return "NCCRTTRS"
        case messages.AccountChange():
            return "NCDBTTRS"
        case messages.PaymentFinished():
            return "FINS"
        case messages.PaymentCameBack():
            return "FINB"


def _read(raw: bytes | msgspec.Raw, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        # The words of msgspec name the path and the types, never a value.
        raise bad("shape", f"The message is not shaped as documented: {error}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise bad("json", "The message is not JSON of ordinary depth in UTF-8.") from None


def _trimmed(value: Any) -> Any:
    """The same words with the spaces cut that pad fixed-width fields at the bank."""
    changes: dict[str, Any] = {}
    for name in value.__struct_fields__:
        old = getattr(value, name)
        new: Any = old
        if isinstance(old, str):
            new = old.strip(" ")
        elif isinstance(old, tuple):
            new = tuple(_trimmed(each) for each in old)  # pyright: ignore[reportUnknownVariableType]
        elif isinstance(old, Wire):
            new = _trimmed(old)
        if new != old:
            changes[name] = new
    return msgspec.structs.replace(value, **changes) if changes else value
