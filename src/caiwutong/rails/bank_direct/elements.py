"""Frozen words ↔ XML elements, for every style whose bodies are XML.

A *word* is a struct whose fields stand in the order of the elements: ``name=`` is the element, the
type says what is inside. ``str`` is text, another word is an element with elements, a tuple of
words is an element that repeats. A text that may be empty, and a word that may be None, is left out
when it is. The schema of the message decides what is allowed; it is checked before reading, so
that reading needs no second opinion. Pure; both sides of the wire use it.
"""

from __future__ import annotations

from functools import cache
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin

import msgspec

from caiwutong.rails.xml import Element, escape

WordT = TypeVar("WordT", bound="Word")


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """What every element with elements inside is read into."""


class _Piece(msgspec.Struct, frozen=True):
    """One field of a word."""

    field: str
    tag: str
    inner: type[Word] | None
    """What is inside, or None for text."""
    many: bool
    required: bool


def write(tag: str, word: Word) -> str:
    """The element ``tag`` with this word inside."""
    out: list[str] = []
    _write(tag, word, out)
    return "".join(out)


def read(element: Element, kind: type[WordT]) -> WordT:
    """The word inside an element that fits its schema. Blanks around a text are cut."""
    values: dict[str, Any] = {}
    for piece in _pieces(kind).values():
        found = element.findall(piece.tag)
        if piece.inner is None:
            if found:
                values[piece.field] = (found[0].text or "").strip(" ")
        elif piece.many:
            values[piece.field] = tuple(read(each, piece.inner) for each in found)
        elif found:
            values[piece.field] = read(found[0], piece.inner)
    return kind(**values)


def drop_unknown(element: Element, kind: type[Word]) -> None:
    """Take out what the word does not know, however deep: a bank may add elements on any day, and
    none of them may change what the known ones mean. An empty element that might be missing counts
    as missing."""
    pieces = _pieces(kind)
    for child in list(element):
        piece = pieces.get(child.tag)
        if piece is None:
            element.remove(child)
        elif piece.inner is not None:
            drop_unknown(child, piece.inner)
        elif not piece.required and not len(child) and not (child.text or "").strip():
            element.remove(child)


def _write(tag: str, word: Word, out: list[str]) -> None:
    out.append(f"<{tag}>")
    for piece in _pieces(type(word)).values():
        value = getattr(word, piece.field)
        if piece.inner is None:
            if value or piece.required:
                out += (f"<{piece.tag}>", escape(value), f"</{piece.tag}>")
        elif piece.many:
            for each in value:
                _write(piece.tag, each, out)
        elif value is not None:
            _write(piece.tag, value, out)
    out.append(f"</{tag}>")


@cache
def _pieces(kind: type[Word]) -> dict[str, _Piece]:
    """The fields of a word by element, in order."""
    found: dict[str, _Piece] = {}
    for field in msgspec.structs.fields(kind):
        inner: Any = field.type
        many = get_origin(inner) is tuple
        if many:
            inner = get_args(inner)[0]
        elif isinstance(inner, UnionType):
            inner = next(each for each in get_args(inner) if each is not type(None))
        found[field.encode_name] = _Piece(
            field.name, field.encode_name, None if inner is str else inner, many, field.required
        )
    return found
