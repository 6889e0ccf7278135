"""What a bank answered, together with what it was asked: an answer that takes or refuses a whole
message need not name a payment in it. For styles whose ``send`` gives such an answer to ``decode``.
"""

from __future__ import annotations

from collections.abc import Sequence

from caiwutong.crypto.gm import sm3
from caiwutong.rails.contract import RailMessage

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def number_of(references: Sequence[str], width: int = 19) -> str:
    """A number that belongs to exactly these references in this order: so many digits and capitals
    of a digest. It names a message of several payments, never a payment."""
    number = int.from_bytes(sm3("|".join(references).encode()))
    out: list[str] = []
    for _ in range(width):
        number, digit = divmod(number, 36)
        out.append(_DIGITS[digit])
    return "".join(out)


def joined(message: RailMessage, answer: bytes) -> bytes:
    """The bank's answer to this message, after a line that says which it was."""
    asked = f"?{message.message_id} {','.join(message.references)}\n"
    return asked.encode("ascii") + answer


def split(raw: bytes) -> tuple[str, tuple[str, ...], bytes] | None:
    """Message id, references and answer of what ``joined`` gave; None for anything else, a notice
    for example."""
    line, feed, answer = raw.partition(b"\n")
    if not feed or not line.startswith(b"?") or not line.isascii():
        return None
    message_id, _, references = line[1:].decode().partition(" ")
    return message_id, tuple(references.split(",")), answer
