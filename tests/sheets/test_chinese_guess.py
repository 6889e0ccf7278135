"""Bytes that are good UTF-8 and good GBK: which they are depends on who wrote them."""

from __future__ import annotations

import pytest

from caiwutong.sheets.csv_reader import CsvFile


def first(data: bytes, *, chinese: bool) -> list[str]:
    (_, row), *_ = CsvFile(data, len, chinese=chinese).rows()
    return row


@pytest.mark.parametrize("encoding", ["gbk", "utf-8"])
@pytest.mark.parametrize("name", ["司", "南京恒瑞贸易有限公司", "ABC", "张·敏"])
def test_a_banks_file_is_read_as_it_was_written(encoding: str, name: str) -> None:
    assert first(f"{name},1.00\n".encode(encoding), chinese=True) == [name, "1.00"]


def test_elsewhere_latin_letters_stay_latin() -> None:
    assert first("Müller,1.00\n".encode(), chinese=False) == ["Müller", "1.00"]
