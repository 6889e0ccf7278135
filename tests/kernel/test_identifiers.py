"""Numbers of firms, people, cards, accounts and banks: which pass, caution, or are refused."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caiwutong.kernel import identifiers as ids
from caiwutong.kernel.errors import Refusal
from caiwutong.kernel.identifiers import Checked

GOOD = [
    (ids.check_uscc, "91110000600037341L", "91110000600037341L"),
    (ids.check_uscc, "９１１１００００ 600037341l", "91110000600037341L"),
    (ids.check_id_number, "11010519491231002X", "11010519491231002X"),
    (ids.check_id_number, "110105 19491231 002x", "11010519491231002X"),
    (ids.check_card, "4111111111111111", "4111111111111111"),
    (ids.check_card, "4111-1111 1111-1111", "4111111111111111"),
    (ids.check_account, "755915671610302", "755915671610302"),
    (ids.check_account, "OSA769900206010102", "OSA769900206010102"),
    (ids.check_account, "\u200b1234 5678\u3000", "12345678"),
    (ids.check_bank_code, "308584000013", "308584000013"),
    (ids.check_bank_code, "１０２１ ００ ０９９９９６", "102100099996"),
    (ids.check_mobile, "13800138000", "13800138000"),
    (ids.check_mobile, "+86 199-0013-8000", "19900138000"),
]


@pytest.mark.parametrize(("check", "text", "value"), GOOD)
def test_good_numbers_come_out_in_their_one_spelling(check, text: str, value: str):
    assert check(text) == Checked(value)


BAD = [
    (ids.check_uscc, "", "uscc.shape"),
    (ids.check_uscc, "9111000060003734", "uscc.shape"),
    (ids.check_uscc, "91110000600037341I", "uscc.shape"),  # I is not a letter of the code
    (ids.check_uscc, "91110000600037341M", "uscc.check_digit"),
    (ids.check_uscc, "91110000600073341L", "uscc.check_digit"),  # two digits exchanged
    (ids.check_id_number, "110105194912310", "id_number.shape"),
    (ids.check_id_number, "110105194912310021", "id_number.check_digit"),
    (ids.check_id_number, "110105194913310021", "id_number.birthday"),
    (ids.check_card, "411111111111111", "card.check_digit"),
    (ids.check_card, "4111111111111112", "card.check_digit"),
    (ids.check_card, "41111111111111", "card.shape"),
    (ids.check_card, "6.22202E+18", "card.shape"),
    (ids.check_account, "1234567", "account.shape"),
    (ids.check_account, "1" * 33, "account.shape"),
    (ids.check_account, "6.22202E+18", "account.shape"),
    (ids.check_account, "ABCDEFGHIJ", "account.shape"),
    (ids.check_account, "账号12345678", "account.shape"),
    (ids.check_bank_code, "30858400001", "bank_code.shape"),
    (ids.check_bank_code, "3085840000131", "bank_code.shape"),
    (ids.check_mobile, "12800138000", "mobile.shape"),
    (ids.check_mobile, "1380013800", "mobile.shape"),
]


@pytest.mark.parametrize(("check", "text", "code"), BAD)
def test_bad_numbers_are_refused_by_name_with_a_cure(check, text: str, code: str):
    found = check(text)
    assert isinstance(found, Refusal)
    assert found.code == f"identifier.{code}"
    assert found.cure
    plain = ids.compact(text)
    assert len(plain) < 8 or plain not in found.detail or "bank_code" in code


def test_an_odd_check_digit_of_a_bank_code_only_cautions():
    found = ids.check_bank_code("308584000014")
    assert isinstance(found, Checked) and found.caution is not None
    assert found.value == "308584000014"
    assert found.caution.code == "identifier.bank_code.check_digit"


@pytest.mark.parametrize(
    "code",
    [
        "102100099996",
        "103100000026",
        "104100000004",
        "105100000017",
        "301290000007",
        "302100011000",
        "305100000013",
        "308584000013",
        "313100000013",
        "313331000014",
        "403100000004",
    ],
)
def test_known_bank_codes_pass_without_caution(code: str):
    assert ids.check_bank_code(code) == Checked(code)


def test_luhn_is_never_run_on_a_corporate_account():
    # The same digits fail as a card and pass as an account.
    assert isinstance(ids.check_card("755915671610302"), Refusal)
    assert ids.check_account("755915671610302") == Checked("755915671610302")


def test_an_old_region_only_cautions():
    found = ids.check_id_number(_with_check("99999919900101001"))
    assert isinstance(found, Checked) and found.caution is not None
    assert found.caution.code == "identifier.id_number.region"


def test_a_birthday_to_come_is_refused_when_the_day_is_known():
    number = _with_check("11010520300101001")
    assert isinstance(ids.check_id_number(number), Checked)
    found = ids.check_id_number(number, on=date(2026, 11, 24))
    assert isinstance(found, Refusal) and found.code == "identifier.id_number.birthday"


def _with_check(body: str) -> str:
    """GB 11643: weights 2^(17-i) mod 11."""
    total = sum(int(digit) * pow(2, 17 - at, 11) for at, digit in enumerate(body))
    return body + "10X98765432"[total % 11]


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E)))
def test_half_width_undoes_full_width(text: str):
    wide = "".join(chr(ord(each) + 0xFEE0) for each in text)
    assert ids.to_half_width(wide) == text
    assert ids.to_half_width("付款（１２）") == "付款(12)"


@given(st.text(), st.sampled_from([check for check, _, _ in GOOD]))
def test_any_text_gets_an_answer_and_a_checked_value_is_stable(text: str, check):
    found = check(text)
    if isinstance(found, Checked):
        assert check(found.value) == found
    else:
        assert found.code.startswith("identifier.")
