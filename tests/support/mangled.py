"""Messages spoilt at random places, as a decoder that must not be surprised by bytes meets them."""

from __future__ import annotations

import re

from hypothesis import strategies as st

_TEXT = re.compile(rb">([^<>]+)<")


COMMON = (b"9" * 30, b"", b"</", b"0001-01-01")
"""Texts that are hard to digest for every decoder."""


def mangled(data: st.DataObject, message: bytes, *odd: bytes) -> bytes:
    """The message after one to six changes: a byte altered, some cut out, some put in, or a text
    between tags replaced by one of ``COMMON`` or ``odd``. Empty when nothing is left of it."""
    raw = bytearray(message)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(raw) - 1))
        what = data.draw(st.integers(0, 3))
        if what == 0:
            raw[at] = data.draw(st.integers(0, 255))
        elif what == 1:
            del raw[at : at + data.draw(st.integers(1, 40))]
        elif what == 2:
            raw[at:at] = data.draw(st.binary(max_size=12))
        else:
            value = data.draw(st.sampled_from([*COMMON, *odd]))
            spans = [match.span(1) for match in _TEXT.finditer(raw)]
            if spans:
                start, end = data.draw(st.sampled_from(spans))
                raw[start:end] = value
        if not raw:
            return b""
    return bytes(raw)
