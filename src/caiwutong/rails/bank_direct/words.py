"""Reports, refusals and texts in the words every style shares."""

from __future__ import annotations

import unicodedata
from datetime import datetime

from caiwutong.kernel.errors import Refused
from caiwutong.rails.bank_direct.contract import NAME, UNSUPPORTED
from caiwutong.rails.contract import (
    SILENCE,
    Attempt,
    BadMessage,
    Concerning,
    RailReport,
    ReportKind,
)

_NOT_IN_A_MESSAGE = frozenset({"Cc", "Cs", "Zl", "Zp"})
_CURE = "Ask the bank for the message again; if it repeats, compare keys and user id with the bank."


def bad(why: str, detail: str, cure: str = _CURE) -> BadMessage:
    """The one way this rail refuses bytes: code ``bank_direct.<why>``."""
    return BadMessage(f"bank_direct.{why}", detail, cure)


def printable(what: str, text: str) -> str:
    """The text, when every sign of it can stand in a message. Raises Refused for a line break, a
    control character or half a surrogate: a name is never re-spelt."""
    if any(unicodedata.category(sign) in _NOT_IN_A_MESSAGE for sign in text):
        raise Refused(
            "bank_direct.not_printable",
            f"The {what} contains a line break or a control character.",
            f"Correct the {what} where it is kept, and order again.",
        )
    return text


def one_line(text: str, most: int) -> str:
    """A purpose or remark as messages carry it: on one line, without control characters, cut."""
    signs = (" " if unicodedata.category(sign) in _NOT_IN_A_MESSAGE else sign for sign in text)
    return " ".join("".join(signs).split())[:most].strip()


def doubt(reference: str, code: str, at: datetime, words: str = "") -> RailReport:
    """The bank cannot say."""
    return RailReport(ReportKind.IN_DOUBT, NAME, reference, code, at, words)


def silence(reference: str, at: datetime, words: str = "") -> RailReport:
    """No answer came."""
    return doubt(reference, SILENCE, at, words)


def unsupported(attempt: Attempt, concerning: Concerning, at: datetime, words: str) -> RailReport:
    """A definite no to a request the bank's interface has no message for."""
    return RailReport(
        kind=ReportKind.REJECTED,
        rail=NAME,
        reference=attempt.reference,
        code=UNSUPPORTED,
        at=at,
        words=words,
        concerning=concerning,
    )
