"""The fixed head before every message, and the signature after it.

On the wire stand 222 bytes of head, the body, and 88 characters of signature. The head's fields,
widths and order are those of public programs (M); they name a signature's kind and length but not
what it covers, so that is **own**: SM2 with SM3 over exactly the bytes of head and body, base64.
The head says how long body and signature are, and not a byte may be missing or left over.
Pure, and the same for both sides. Read next: ``codec.py``.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from caiwutong.rails.bank_direct.fields import bank_time, instant
from caiwutong.rails.bank_direct.line import MAX_BYTES
from caiwutong.rails.bank_direct.signing import (
    SIGNATURE_CHARS,
    Signer,
    Verifier,
    check_signature,
    signature_of,
)
from caiwutong.rails.bank_direct.words import bad

CHARSET = "gbk"
_READ_AS = "gb18030"
"""A superset of GBK: every GBK text reads the same."""

_WIDTHS = {
    "kind": 4,
    "system": 2,
    "charset": 2,
    "protocol": 2,
    "customer": 20,
    "body_length": 10,
    "function": 6,
    "operator": 5,
    "service": 2,
    "day": 8,
    "time": 6,
    "message_id": 20,
    "code": 6,
    "words": 100,
    "more": 1,
    "times": 3,
    "signed": 1,
    "signature_form": 1,
    "algorithm": 12,
    "signature_length": 10,
    "attachments": 1,
}
LENGTH = sum(_WIDTHS.values())
"""222 bytes."""
REQUEST, ANSWER = "01", "02"
"""服务类型."""
_FIXED = {
    "kind": "A001",
    "system": "01",
    "charset": "01",
    "protocol": "02",
    "more": "0",
    "times": "000",
    "signed": "1",
    "signature_form": "1",
    "algorithm": "SM2WITHSM3",
    "signature_length": f"{SIGNATURE_CHARS:010d}",
    "attachments": "0",
}


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """What the head says that is not the same in every message."""

    customer: str
    """外联客户代码: who we are at the bank, up to 20 characters."""
    function: str
    """交易码."""
    service: str
    message_id: str
    """请求方系统流水号: given by whoever asks; the answer repeats it."""
    at: datetime
    """When it was written; of a payment: its attempt. Whole seconds."""
    code: str = ""
    """返回码, in an answer."""
    words: str = ""
    """返回描述."""
    operator: str = "00000"


def sealed(head: Head, body: bytes, signer: Signer) -> bytes:
    """Head, body and signature. Raises BadMessage where a field of the head does not fit."""
    signed = _write(head, len(body)) + body
    return signed + signature_of(signed, signer)


def opened(raw: bytes, verifier: Verifier) -> tuple[Head, bytes]:
    """Head and body of a frame signed by the other side. Raises BadMessage."""
    if len(raw) > MAX_BYTES:
        raise bad("too_large", f"The message has {len(raw):,} bytes; {MAX_BYTES:,} are read.")
    fields = _cut(raw)
    length = fields["body_length"]
    if not (length.isascii() and length.isdigit()):
        raise bad("frame", "The head does not say how long the body is.")
    end = LENGTH + int(length)
    if len(raw) != end + SIGNATURE_CHARS:
        raise bad("frame", "The message is not as long as its head says.")
    check_signature(raw[:end], raw[end:], verifier)
    return _read(fields), raw[LENGTH:end]


def _write(head: Head, body_length: int) -> bytes:
    stamp = bank_time(head.at)
    values = _FIXED | {
        "customer": head.customer,
        "body_length": f"{body_length:010d}",
        "function": head.function,
        "operator": head.operator,
        "service": head.service,
        "day": stamp[:8],
        "time": stamp[8:],
        "message_id": head.message_id,
        "code": head.code,
        "words": f":{head.words}" if head.words else "",
    }
    return b"".join(_padded(name, values[name]) for name in _WIDTHS)


def _padded(name: str, value: str) -> bytes:
    width = _WIDTHS[name]
    raw = value.encode(CHARSET, "replace")
    if name == "words":
        # The description alone may be cut: at a whole character, as the bank does.
        raw = raw[:width].decode(CHARSET, "ignore").encode(CHARSET)
    if len(raw) > width or (name != "words" and not raw.isascii()):
        raise bad("head", f"The field {name} of the head does not fit into {width} bytes.")
    return raw.ljust(width)


def _cut(raw: bytes) -> dict[str, str]:
    """The fields of the head as text, blanks at their ends cut."""
    if len(raw) < LENGTH:
        raise bad("frame", "The message is shorter than its head.")
    fields: dict[str, str] = {}
    at = 0
    for name, width in _WIDTHS.items():
        try:
            fields[name] = raw[at : at + width].decode(_READ_AS).strip(" ")
        except UnicodeDecodeError:
            raise bad("head", f"The field {name} of the head is not GBK.") from None
        at += width
    for name in ("kind", "charset", "signed", "algorithm", "signature_length"):
        if fields[name] != _FIXED[name]:
            raise bad("head", f"The field {name} of the head is not {_FIXED[name]}.")
    return fields


def _read(fields: dict[str, str]) -> Head:
    return Head(
        customer=fields["customer"],
        function=fields["function"],
        service=fields["service"],
        message_id=fields["message_id"],
        at=instant(fields["day"] + fields["time"]),
        code=fields["code"],
        words=fields["words"].removeprefix(":"),
        operator=fields["operator"],
    )
