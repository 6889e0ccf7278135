"""DER and raw signatures: one number pair, one spelling."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caiwutong.crypto.gm import signature_to_der, signature_to_raw
from caiwutong.crypto.gm.curve import N
from caiwutong.kernel.errors import Refused

numbers = st.one_of(st.integers(1, N - 1), st.integers(1, 300), st.integers(N - 300, N - 1))


@given(numbers, numbers)
def test_a_signature_survives_both_spellings(r: int, s: int) -> None:
    raw = r.to_bytes(32) + s.to_bytes(32)
    assert signature_to_raw(signature_to_der(raw)) == raw


@given(st.binary(max_size=80))
def test_what_is_read_at_all_is_read_from_its_only_spelling(noise: bytes) -> None:
    try:
        raw = signature_to_raw(noise)
    except Refused:
        return
    assert signature_to_der(raw) == noise


@pytest.mark.parametrize(
    ("der", "why"),
    [
        ("", "empty"),
        ("3006020101020101ff", "a byte after the sequence"),
        ("300702010102010100", "a byte after the numbers"),
        ("30070202000102010100", "a length that lies"),
        ("3007020200010201" + "01", "a needless zero in front"),
        ("3006020181020101", "a negative number"),
        ("3006020100020101", "zero"),
        ("300602010102" + "0201", "a number that runs out"),
        ("3081060201010201" + "01", "a long length for a short text"),
        ("3026022100" + f"{N:064x}" + "020101", "a number that is n"),
    ],
)
def test_another_spelling_is_refused(der: str, why: str) -> None:
    with pytest.raises(Refused) as refused:
        signature_to_raw(bytes.fromhex(der))
    assert refused.value.code == "crypto.bad_signature_encoding", why


def test_a_raw_signature_of_another_length_is_refused() -> None:
    with pytest.raises(Refused):
        signature_to_der(bytes(63))
