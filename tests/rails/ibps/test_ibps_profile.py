"""The dated facts of IBPS: every one has a source, and dates are China's."""

from __future__ import annotations

from datetime import UTC, datetime

from caiwutong.rails.ibps import profile


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
