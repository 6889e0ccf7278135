"""Documents ↔ messages, for both sides of the wire. Pure.

Order of belief when reading: size, signature over the bytes that came, harmless XML, the schema of
the message, then the content. The hub forgets elements it does not know before it compares with the
schema, because banks add some; a bank of the sandbox refuses them. Every document is checked
against its schema before it leaves, too. Only ``BadMessage`` escapes from reading.
Read next: ``reports.py``.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from caiwutong.kernel.errors import Refused
from caiwutong.rails import xml
from caiwutong.rails.bank_direct.elements import Word, drop_unknown, read, write
from caiwutong.rails.bank_direct.line import MAX_BYTES
from caiwutong.rails.bank_direct.styles.boc import messages as m
from caiwutong.rails.bank_direct.styles.boc import profile
from caiwutong.rails.bank_direct.words import bad
from caiwutong.rails.contract import BadMessage

SCHEMAS = Path(__file__).with_name("schemas")

MESSAGES: dict[str, type[Word]] = {
    "b2e0001-rq": m.SignInRequest,
    "b2e0001-rs": m.SignInAnswer,
    "b2e0005-rq": m.BalancesRequest,
    "b2e0005-rs": m.BalancesAnswer,
    "b2e0007-rq": m.StatusRequest,
    "b2e0007-rs": m.StatusAnswer,
    "b2e0007-nt": m.StatusNotice,
    "b2e0009-rq": m.PayRequest,
    "b2e0009-rs": m.PayAnswer,
    "b2e0035-rq": m.StatementRequest,
    "b2e0035-rs": m.StatementAnswer,
    "b2e0500-rq": m.ReceiptRequest,
    "b2e0500-rs": m.ReceiptAnswer,
    "b2eerror-rs": m.ErrorAnswer,
}
"""Every message by the name in its element ``trn-…``; its schema has the same name."""

_NAMES = {kind: name for name, kind in MESSAGES.items()}
_SCHEMAS = {name: xml.Schema(SCHEMAS / f"{name}.xsd") for name in MESSAGES}
_OPENING = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    f'<bocb2e version="{profile.BOC_B2E.version}" security="true" locale="zh_CN">'
)


class Document(msgspec.Struct, frozen=True):
    """One message and its head."""

    head: m.Head
    body: Word


def function_of(body: Word) -> str:
    """``trncod`` of a message: ``b2e0009`` for both its request and its answer."""
    return _NAMES[type(body)].partition("-")[0]


def encode(head: m.Head, body: Word) -> bytes:
    """The document, unsigned. Raises Refused where a value cannot travel."""
    name = _NAMES[type(body)]
    parts = (_OPENING, write("head", head), "<trans>", write(f"trn-{name}", body))
    try:
        raw = "".join((*parts, "</trans></bocb2e>")).encode()
        _SCHEMAS[name].check(xml.parse(raw, max_bytes=MAX_BYTES))
    except (BadMessage, UnicodeEncodeError) as error:
        place = error.detail if isinstance(error, BadMessage) else "a character is no character"
        raise Refused(
            "bank_direct.does_not_fit",
            f"A value cannot travel in {name}: {place}",
            "Shorten the texts and leave out control characters, or choose another channel.",
        ) from None
    return raw


def decode(document: bytes, *, forgiving: bool = True) -> Document:
    """The message in a document whose signature has been checked. ``forgiving`` forgets elements
    it does not know. Raises BadMessage."""
    root = xml.parse(document, max_bytes=MAX_BYTES)
    name = _name_of(root)
    kind = MESSAGES[name]
    if forgiving:
        _forget(root, kind)
    _SCHEMAS[name].check(root)
    head = read(root[0], m.Head)
    if head.function != name.partition("-")[0] and kind is not m.ErrorAnswer:
        raise bad("function", "The head names another function than the message has.")
    return Document(head, read(root[1][0], kind))


def _name_of(root: xml.Element) -> str:
    """The message a document carries, by the element inside ``trans``."""
    inside = root.find("trans")
    tag = str(inside[0].tag) if root.tag == "bocb2e" and inside is not None and len(inside) else ""
    name = tag.removeprefix("trn-")
    if name == tag or name not in MESSAGES:
        raise bad("unknown_function", f"There is no message {tag[:24]!r}.")
    return name


def _forget(root: xml.Element, kind: type[Word]) -> None:
    for child in list(root):
        if child.tag == "head":
            drop_unknown(child, m.Head)
        elif child.tag == "trans":
            drop_unknown(child[0], kind)
        else:
            root.remove(child)
