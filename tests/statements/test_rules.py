"""Pure decisions about statements, as tables."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from caiwutong.kernel.clock import ManualClock
from caiwutong.rails.contract import StatementLine
from caiwutong.statements import rules
from caiwutong.statements.model import Explained

NOW = datetime(2026, 11, 2, 1, 0, 0, 250_000, tzinfo=UTC)


def line(fen: int = 100, kind: str = "incoming", **more: object) -> StatementLine:
    facts = {"booked_at": NOW, "balance_after_fen": fen} | more
    return StatementLine(
        account="90730001000417",
        line_id="90730001000417-1",
        value_date=date(2026, 11, 2),
        amount_fen=fen,
        kind=kind,
        **facts,  # type: ignore[arg-type]
    )


class Fast(ManualClock):
    """Business time runs an hour a second."""

    def real_seconds(self, business_seconds: float) -> float:
        return business_seconds / 3600


@pytest.mark.parametrize(
    ("modes", "connected", "rail"),
    [
        (("ibps", "bank_direct"), ("ibps", "bank_direct"), "bank_direct"),
        (("ibps", "bank_direct"), ("ibps",), "ibps"),
        (("hvps",), ("ibps", "bank_direct"), None),
        (("beps", "hvps"), ("hvps", "beps"), "beps"),
    ],
)
def test_an_accounts_own_bank_is_read_before_any_network(
    modes: tuple[str, ...], connected: tuple[str, ...], rail: str | None
) -> None:
    assert rules.rail_for(modes, connected) == rail


@pytest.mark.parametrize(
    ("said", "meaning"),
    [
        (line(-500, "fee", reference="R"), Explained.FEE),
        (line(3, "interest"), Explained.INTEREST),
        (line(0, "other"), Explained.INCOMING),
        (line(-100, "payment", reference="R"), None),
        (line(100, "other", reference="R", words="冲正"), None),
        (line(100, "other", words="冲正 手续费"), Explained.CORRECTION),
        (line(100, "other"), Explained.SUSPENSE),
        (line(100), Explained.SUSPENSE),
        (line(-100, "payment"), Explained.SUSPENSE),
    ],
)
def test_what_a_line_says_by_itself(said: StatementLine, meaning: Explained | None) -> None:
    assert rules.says(said) is meaning


@pytest.mark.parametrize(("seconds", "history"), [(-1, True), (0, False), (1, False)])
def test_a_line_of_the_second_in_which_our_books_began_is_ours(seconds: int, history: bool) -> None:
    said = line(booked_at=NOW.replace(microsecond=0) + timedelta(seconds=seconds))
    assert rules.is_history(said, NOW) is history


def test_the_chain_has_a_gap_where_the_balance_does_not_follow() -> None:
    assert rules.gap_fen(None, line()) == 0
    assert rules.gap_fen(50, line(100, balance_after_fen=150)) == 0
    assert rules.gap_fen(50, line(100, balance_after_fen=120)) == -30


def test_our_account_number_is_taken_out_of_a_lines_id_and_can_be_put_back() -> None:
    kept = rules.without_account(line(), "90730001000417")
    assert kept.line_id == "@-1"
    assert rules.banks_line_id(kept.line_id, "90730001000417") == "90730001000417-1"


def test_a_failing_bank_is_asked_less_and_less_often_up_to_an_hour() -> None:
    pauses = [rules.next_read(NOW, n) - NOW for n in (0, 1, 2, 3, 30)]
    assert [p.total_seconds() for p in pauses] == [60, 120, 240, 480, 3600]


def test_a_fast_business_clock_does_not_make_anyone_ask_without_pause() -> None:
    assert rules.next_look(NOW, 0, ManualClock(NOW)) - NOW == rules.LOOK_AGAIN
    assert rules.next_look(NOW, 0, Fast(NOW)) - NOW == timedelta(hours=1)
    assert rules.at_least(rules.READ_EVERY, 2.0, Fast(NOW)) == timedelta(hours=2)
