"""A small grammar of XML layouts: each node writes one piece of a word and reads it back.

A message is a list of nodes in document order (see ``shapes.py``). Writing and reading walk the
same list, so the two directions cannot drift apart, and both collect the *signed values* on the
way: on reading the raw text as it arrived, never a value rendered again. Schemas are checked
before reading, so a node may rely on an element being there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Any, Protocol

from caiwutong.kernel.clock import CHINA
from caiwutong.kernel.money import yuan
from caiwutong.rails.xml import Element, escape

Children = Mapping[str, Element]
Values = dict[str, Any]


class Node(Protocol):
    """One piece of a layout."""

    def write(self, word: Any, out: list[str], signed: list[str]) -> None: ...

    def read(self, children: Children, values: Values, signed: list[str]) -> None: ...


def _same(text: str) -> str:
    return text


def write_instant(at: datetime) -> str:
    """China time without an offset, with microseconds only where there are any."""
    return at.astimezone(CHINA).replace(tzinfo=None).isoformat()


def read_instant(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=CHINA).astimezone(UTC)


def read_fen(text: str) -> int:
    """Fen of an amount the schema has already checked: digits, a point, two digits."""
    return int(text[:-3]) * 100 + int(text[-2:])


class Leaf:
    """One element with text. Optional ones are left out when the value is the ``absent`` one;
    their place in the signed string stays."""

    def __init__(
        self,
        tag: str,
        field: str,
        write: Callable[[Any], str] = _same,
        read: Callable[[str], Any] = _same,
        *,
        optional: bool = False,
        absent: Any = "",
    ) -> None:
        self._tag, self._field = tag, field
        self._write, self._read = write, read
        self._optional, self._absent = optional, absent
        self._open, self._close = f"<{tag}>", f"</{tag}>"

    def write(self, word: Any, out: list[str], signed: list[str]) -> None:
        value = getattr(word, self._field)
        if self._optional and value == self._absent:
            signed.append("")
            return
        text = self._write(value)
        signed.append(text)
        out += (self._open, escape(text), self._close)

    def read(self, children: Children, values: Values, signed: list[str]) -> None:
        element = children.get(self._tag)
        if element is None:
            signed.append("")
            values[self._field] = self._absent
            return
        text = element.text or ""
        signed.append(text)
        values[self._field] = self._read(text)


def text(tag: str, field: str) -> Leaf:
    return Leaf(tag, field)


def maybe(tag: str, field: str) -> Leaf:
    """A text that may be absent: an empty string in the word."""
    return Leaf(tag, field, optional=True)


def instant(tag: str, field: str) -> Leaf:
    return Leaf(tag, field, write_instant, read_instant)


def maybe_instant(tag: str, field: str) -> Leaf:
    return Leaf(tag, field, write_instant, read_instant, optional=True, absent=None)


def day(tag: str, field: str) -> Leaf:
    return Leaf(tag, field, date.isoformat, date.fromisoformat)


def number(tag: str, field: str) -> Leaf:
    return Leaf(tag, field, str, int)


def flag(tag: str, field: str) -> Leaf:
    return Leaf(tag, field, lambda value: "true" if value else "false", lambda text: text == "true")


def code(tag: str, field: str, codes: Mapping[Any, str]) -> Leaf:
    """A word of ours and its code on the wire."""
    back = {wire: word for word, wire in codes.items()}
    return Leaf(tag, field, codes.__getitem__, back.__getitem__)


class Amount:
    """``<Tag Ccy="CNY">1234.56</Tag>``, signed as ``CNY1234.56``; with ``direction`` followed by
    ``<CdtDbtInd>``: CRDT for zero and above, DBIT below."""

    def __init__(self, tag: str, field: str, *, direction: str = "") -> None:
        self._tag, self._field, self._direction = tag, field, direction

    def write(self, word: Any, out: list[str], signed: list[str]) -> None:
        fen, currency = getattr(word, self._field), word.currency
        if fen < 0 and not self._direction:
            raise ValueError(f"{self._tag} cannot be negative")
        text = yuan(abs(fen), grouped=False)
        signed.append(currency + text)
        out.append(f'<{self._tag} Ccy="{escape(currency)}">{text}</{self._tag}>')
        if self._direction:
            side = "DBIT" if fen < 0 else "CRDT"
            signed.append(side)
            out.append(f"<{self._direction}>{side}</{self._direction}>")

    def read(self, children: Children, values: Values, signed: list[str]) -> None:
        element = children[self._tag]
        text, currency = element.text, element.get("Ccy")
        signed.append(currency + text)
        values["currency"] = currency
        fen = read_fen(text)
        if self._direction:
            side = children[self._direction].text
            signed.append(side)
            fen = -fen if side == "DBIT" else fen
        values[self._field] = fen


class Part:
    """An element that only groups: its nodes belong to the same word."""

    def __init__(self, tag: str, *nodes: Node) -> None:
        self._tag, self._nodes = tag, nodes
        self._open, self._close = f"<{tag}>", f"</{tag}>"

    def write(self, word: Any, out: list[str], signed: list[str]) -> None:
        out.append(self._open)
        write_all(self._nodes, word, out, signed)
        out.append(self._close)

    def read(self, children: Children, values: Values, signed: list[str]) -> None:
        read_all(self._nodes, children[self._tag], values, signed)


class Inner:
    """A word inside the word, held in ``field``. With a tag it has an element of its own and may
    be absent (None); without one its nodes stand among its neighbours."""

    def __init__(
        self, field: str, word: Callable[..., Any], *nodes: Node, tag: str = "", width: int = 0
    ) -> None:
        self._field, self._word, self._nodes = field, word, nodes
        self._tag, self._width = tag, width

    def write(self, word: Any, out: list[str], signed: list[str]) -> None:
        inner = getattr(word, self._field)
        if inner is None:
            signed += [""] * self._width
            return
        if self._tag:
            out.append(f"<{self._tag}>")
        write_all(self._nodes, inner, out, signed)
        if self._tag:
            out.append(f"</{self._tag}>")

    def read(self, children: Children, values: Values, signed: list[str]) -> None:
        inner: Values = {}
        if not self._tag:
            for node in self._nodes:
                node.read(children, inner, signed)
        elif self._tag in children:
            read_all(self._nodes, children[self._tag], inner, signed)
        else:
            signed += [""] * self._width
            values[self._field] = None
            return
        values[self._field] = self._word(**inner)


class Many:
    """A run of equal elements, a tuple of words; always in an element of its own, so that other
    children keep unique names."""

    def __init__(self, tag: str, item: str, field: str, word: Callable[..., Any], *nodes: Node):
        self._tag, self._item, self._field = tag, item, field
        self._word, self._nodes = word, nodes

    def write(self, word: Any, out: list[str], signed: list[str]) -> None:
        out.append(f"<{self._tag}>")
        for inner in getattr(word, self._field):
            out.append(f"<{self._item}>")
            write_all(self._nodes, inner, out, signed)
            out.append(f"</{self._item}>")
        out.append(f"</{self._tag}>")

    def read(self, children: Children, values: Values, signed: list[str]) -> None:
        words: list[Any] = []
        for element in children[self._tag]:
            inner: Values = {}
            read_all(self._nodes, element, inner, signed)
            words.append(self._word(**inner))
        values[self._field] = tuple(words)


def write_all(nodes: tuple[Node, ...], word: Any, out: list[str], signed: list[str]) -> None:
    for node in nodes:
        node.write(word, out, signed)


def read_all(nodes: tuple[Node, ...], element: Element, values: Values, signed: list[str]) -> None:
    children: dict[str, Element] = {child.tag: child for child in element}
    for node in nodes:
        node.read(children, values, signed)
