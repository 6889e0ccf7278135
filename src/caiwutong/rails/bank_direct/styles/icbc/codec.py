"""Documents ↔ messages, for both sides of the wire. Pure.

Order of belief when reading: size, form, signature over the bytes that came, character set,
harmless XML, the schema of the message, then the content. Elements we do not know are forgotten
before the schema is asked, because banks add some; a bank of the sandbox refuses them. Every
document is checked against its schema before it leaves, too. Only ``BadMessage`` escapes from
reading, only ``Refused`` from writing. Read next: ``reports.py``.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import msgspec

from caiwutong.kernel.clock import CHINA
from caiwutong.kernel.errors import Refused
from caiwutong.rails import xml
from caiwutong.rails.bank_direct.elements import Word, drop_unknown, read, write
from caiwutong.rails.bank_direct.fields import bank_time, instant
from caiwutong.rails.bank_direct.line import MAX_BYTES
from caiwutong.rails.bank_direct.styles.icbc import messages as m
from caiwutong.rails.bank_direct.styles.icbc import profile
from caiwutong.rails.bank_direct.styles.icbc.envelope import encoded
from caiwutong.rails.bank_direct.words import bad
from caiwutong.rails.contract import BadMessage

SCHEMAS = Path(__file__).with_name("schemas")

REQUESTS: dict[str, type[Word]] = {
    profile.PAY: m.PayRequest,
    profile.PAY_QUERY: m.PayQueryRequest,
    profile.BALANCES: m.BalancesRequest,
    profile.STATEMENT: m.StatementRequest,
    profile.RETURNS: m.ReturnsRequest,
    profile.RECEIPT: m.ReceiptRequest,
}
ANSWERS: dict[str, type[Word]] = {
    profile.PAY: m.PayAnswer,
    profile.PAY_QUERY: m.PayQueryAnswer,
    profile.BALANCES: m.BalancesAnswer,
    profile.STATEMENT: m.StatementAnswer,
    profile.RETURNS: m.ReturnsAnswer,
    profile.RECEIPT: m.ReceiptAnswer,
    profile.NOTICE: m.Notice,
}
_REFUSAL = "refusal"
_TRANSACTION = {kind: name for name, kind in REQUESTS.items()}


def _schema(name: str, side: str) -> xml.Schema:
    return xml.Schema(SCHEMAS / f"{name.lower()}-{side}.xsd")


_SCHEMAS = (
    {("in", name): _schema(name, "in") for name in REQUESTS}
    | {("out", name): _schema(name, "out") for name in ANSWERS}
    | {("out", _REFUSAL): _schema(_REFUSAL, "out")}
)


class Document(msgspec.Struct, frozen=True):
    """One message and its head."""

    pub: m.Pub
    body: Word

    @property
    def at(self) -> datetime:
        """When it was written, by its writer's clock."""
        return instant(self.pub.day + self.pub.time[:6])


def transaction_of(body: Word) -> str:
    """``TransCode`` of a request's body."""
    return _TRANSACTION[type(body)]


def stamp(at: datetime) -> tuple[str, str]:
    """``TranDate`` and ``TranTime`` (with milliseconds) of an instant."""
    text = bank_time(at)
    return text[:8], f"{text[8:]}{at.astimezone(CHINA).microsecond // 1000:03d}"


def encode_request(pub: m.Pub, body: Word, charset: str) -> bytes:
    """The document of a request, unsigned, in this character set. Raises Refused where a value
    cannot travel."""
    return _encode("in", pub.transaction, pub, body, charset)


def encode_answer(pub: m.Pub, body: Word, charset: str) -> bytes:
    """The document of an answer or a notice. Raises Refused where a value cannot travel."""
    name = _REFUSAL if isinstance(body, m.Refusal) else pub.transaction
    return _encode("out", name, pub, body, charset)


def decode_request(document: bytes) -> Document:
    """The request in a document whose signature has been checked. Raises BadMessage."""
    root = xml.parse(document, max_bytes=MAX_BYTES)
    name = _transaction(root)
    if name not in REQUESTS:
        raise bad("unknown_function", f"There is no transaction {name[:24]!r}.")
    _SCHEMAS["in", name].check(root)
    eb = root[0]
    return Document(read(eb[0], m.Pub), read(eb[1], REQUESTS[name]))


def decode_answer(document: bytes) -> Document:
    """The answer or notice in a document whose signature has been checked. One that refuses has a
    ``Refusal`` as its body. Raises BadMessage."""
    root = xml.parse(document, max_bytes=MAX_BYTES)
    name = _transaction(root)
    if name not in ANSWERS:
        raise bad("unknown_function", f"There is no transaction {name[:24]!r}.")
    code = (root.findtext("eb/pub/RetCode") or "").strip()
    refused = code != profile.DONE
    kind = m.Refusal if refused else ANSWERS[name]
    _forget(root, kind)
    _SCHEMAS["out", _REFUSAL if refused else name].check(root)
    eb = root[0]
    return Document(read(eb[0], m.Pub), m.Refusal() if refused else read(eb[1], kind))


def _encode(side: str, name: str, pub: m.Pub, body: Word, charset: str) -> bytes:
    text = (
        f'<?xml version="1.0" encoding="{charset}"?><CMS><eb>'
        f"{write('pub', pub)}{write(side, body)}</eb></CMS>"
    )
    raw = encoded(text, charset)
    try:
        _SCHEMAS[side, name].check(xml.parse(raw, max_bytes=MAX_BYTES))
    except BadMessage as error:
        raise Refused(
            "bank_direct.does_not_fit",
            f"A value cannot travel in {name}: {error.detail}",
            "Shorten the texts and leave out control characters, or choose another channel.",
        ) from None
    return raw


def _transaction(root: xml.Element) -> str:
    if root.tag != "CMS" or len(root) != 1 or root[0].tag != "eb":
        raise bad("shape", "The document is not CMS with one eb.")
    return (root.findtext("eb/pub/TransCode") or "").strip()


def _forget(root: xml.Element, kind: type[Word]) -> None:
    """Take out what nobody here knows. Of a refusal nothing but the head is read."""
    for child in list(root[0]):
        if child.tag == "pub":
            drop_unknown(child, m.Pub)
        elif child.tag == "out":
            drop_unknown(child, kind)
        else:
            root[0].remove(child)
