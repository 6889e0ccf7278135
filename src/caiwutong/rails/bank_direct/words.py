"""Reports and refusals in the words every style shares."""

from __future__ import annotations

from datetime import datetime

from caiwutong.rails.bank_direct.contract import NAME, UNSUPPORTED
from caiwutong.rails.contract import (
    SILENCE,
    Attempt,
    BadMessage,
    Concerning,
    RailReport,
    ReportKind,
)

_CURE = "Ask the bank for the message again; if it repeats, compare keys and user id with the bank."


def bad(why: str, detail: str, cure: str = _CURE) -> BadMessage:
    """The one way this rail refuses bytes: code ``bank_direct.<why>``."""
    return BadMessage(f"bank_direct.{why}", detail, cure)


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
