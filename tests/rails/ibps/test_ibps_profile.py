"""The dated facts of IBPS: every one has a source, and dates are China's."""

from __future__ import annotations

from datetime import UTC, date, datetime

from caiwutong.rails.ibps import profile


def test_every_fact_names_its_source_and_comes_in_order_of_time() -> None:
    for facts in (profile.LIMITS, profile.HOURS):
        assert all(fact.source for fact in facts)
        assert [fact.since for fact in facts] == sorted(fact.since for fact in facts)


def test_the_limit_of_a_day_is_the_last_one_begun() -> None:
    assert profile.limit_on(date(2010, 8, 29)) is None
    launch, today = profile.limit_on(date(2010, 8, 30)), profile.limit_on(date(2026, 11, 23))
    assert launch is not None and launch.amount_fen == 50_000_00
    assert today is not None and today.amount_fen == 1_000_000_00


def test_whether_exactly_the_limit_goes_is_a_field() -> None:
    inclusive = profile.Limit(date(2020, 1, 1), 100, True, "a test")
    exclusive = profile.Limit(date(2020, 1, 1), 100, False, "a test")
    assert (inclusive.allows(100), exclusive.allows(100)) == (True, False)
    assert (inclusive.allows(101), exclusive.allows(99)) == (False, True)


def test_a_message_may_be_accepted_until_its_day_in_china_is_over_and_a_grace() -> None:
    end = datetime(2026, 11, 23, 16, 30, tzinfo=UTC)
    assert profile.valid_until(datetime(2026, 11, 22, 16, 0, tzinfo=UTC)) == end
    assert profile.valid_until(datetime(2026, 11, 23, 15, 59, 59, tzinfo=UTC)) == end
    assert profile.valid_until(datetime(2026, 11, 23, 16, 0, tzinfo=UTC)) > end


def test_every_code_has_words_in_both_languages() -> None:
    for code in (*profile.STATUS, *profile.REJECT, *profile.RESULT):
        assert profile.words_for(code) and profile.words_for(code, chinese=False)
    assert profile.words_for("RJ77") == ""


def test_only_a_system_code_is_a_system_error() -> None:
    errors = [code for code in profile.RESULT if profile.is_system_error(code)]
    assert errors == [profile.SYSTEM_ERROR]
