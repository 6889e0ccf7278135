"""CSV as people's programs write it: encoding, delimiter, rows.

The encoding is found by strict decoding of the whole file (UTF-8, UTF-16, then GB18030, which
contains GBK and GB2312), never guessed from a sample; the delimiter is the one under which the
header is recognised best. Rows stream; nothing is kept.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
import itertools
from collections.abc import Callable, Iterator, Sequence

from caiwutong.kernel.errors import Refused
from caiwutong.sheets.model import Raw

MAX_FIELD = 131_072
"""Characters of one field: Python's own limit for the csv module."""
MAX_WIDTH = 300
_DELIMITERS = (",", "\t", ";", "|", "\uff0c")
_SAVE_AS = "In Excel choose 另存为 → «CSV UTF-8», or save as .xlsx."


class CsvFile:
    """A CSV whose encoding and delimiter are known. ``likeness`` scores a row as a header.
    ``chinese``: it comes from a Chinese program, so what could be GBK or Latin letters is GBK."""

    def __init__(
        self, data: bytes, likeness: Callable[[Sequence[Raw]], int], *, chinese: bool = False
    ) -> None:
        self._data = data.removesuffix(b"\x1a")  # the end-of-file mark of old programs
        self.encoding_name = _encoding(self._data)
        if chinese and self.encoding_name == "utf-8" and _may_be_gbk(self._data):
            self.encoding_name = "gb18030"
        self._skip = 0
        self.delimiter = self._told_delimiter() or self._best_delimiter(likeness)

    def rows(self, most: int | None = None) -> Iterator[tuple[int, list[str]]]:
        """(Row number as a spreadsheet shows it, its cells). Raises Refused on broken quoting."""
        yield from itertools.islice(self._rows(self.delimiter), most)

    def _rows(self, delimiter: str) -> Iterator[tuple[int, list[str]]]:
        stream = io.TextIOWrapper(io.BytesIO(self._data), self.encoding_name, newline="")
        for _ in range(self._skip):
            stream.readline()
        number = 0
        reader = csv.reader(stream, delimiter=delimiter, strict=True)
        try:
            for row in reader:
                number += 1
                if len(row) > MAX_WIDTH:
                    raise _too_wide(number, len(row))
                yield number, row
        except csv.Error as error:
            raise Refused(
                "imports.csv_broken",
                f"The CSV breaks after row {number} ({str(error)[:60]}): a quotation mark is "
                "opened and not closed, or a cell is far too long.",
                "Look at the quotation marks of the next row; " + _SAVE_AS,
                row_no=number + 1,
            ) from error

    def _told_delimiter(self) -> str:
        """Excel's own first line ``sep=;``, which it does not show and does not count."""
        first = self._data[:64].decode(self.encoding_name, "ignore").lstrip("\ufeff")
        line = first.splitlines()[0] if first else ""
        if line.lower().startswith("sep=") and len(line) == 5:
            self._skip = 1
            return line[4]
        return ""

    def _best_delimiter(self, likeness: Callable[[Sequence[Raw]], int]) -> str:
        best, score = ",", -1
        for delimiter in _DELIMITERS:
            found = 0
            with contextlib.suppress(Refused):  # told again, with its row, by whoever reads on
                for _, row in itertools.islice(self._rows(delimiter), 30):
                    found = max(found, likeness(row))
            if found > score:
                best, score = delimiter, found
        return best


def _too_wide(number: int, width: int) -> Refused:
    return Refused(
        "imports.too_wide",
        f"Row {number} has {width:,} columns; {MAX_WIDTH} fit.",
        "Check the line ends and the delimiter; " + _SAVE_AS,
    )


def _encoding(data: bytes) -> str:
    for mark, name in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if data.startswith(mark):
            if not _decodes(data, name):
                raise _unreadable(f"it begins as {name} and then is not")
            return name
    if b"\x00" in data:
        name = _bare_utf16(data)
        if name and _decodes(data, name):
            return name
        raise _unreadable("it holds binary data")
    if sum(byte < 9 or 13 < byte < 32 for byte in data[:65_536]) > 0:
        raise _unreadable("it holds control characters")
    if _decodes(data, "utf-8"):
        return "utf-8"
    if _nearly_utf8(data):
        raise _unreadable("it is UTF-8 with damaged characters")
    if _decodes(data, "gb18030"):
        return "gb18030"
    raise _unreadable("it is neither UTF-8 nor GB18030 (GBK)")


def _may_be_gbk(data: bytes) -> bool:
    """Good UTF-8, but without a single character beyond two bytes, as Chinese ones are: the bytes
    of 司 in GBK are those of a phonetic letter in UTF-8."""
    return not data.isascii() and max(data) < 0xE0 and _decodes(data, "gb18030")


def _decodes(data: bytes, name: str) -> bool:
    decoder = codecs.getincrementaldecoder(name)("strict")
    try:
        for at in range(0, len(data), 1 << 18):
            decoder.decode(data[at : at + (1 << 18)])
        decoder.decode(b"", final=True)
    except UnicodeError:
        return False
    return True


def _bare_utf16(data: bytes) -> str:
    """UTF-16 without its mark shows by zeros at every other place of its ASCII characters."""
    sample = data[:4096]
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    if len(data) % 2 or max(even, odd) < 4 * max(1, min(even, odd)):
        return ""
    return "utf-16-le" if odd > even else "utf-16-be"


def _nearly_utf8(data: bytes) -> bool:
    """Many good UTF-8 characters and a few broken: damage, not another encoding."""
    words = data[: 1 << 20].decode("utf-8", "replace")
    broken = words.count("\ufffd")
    whole = sum(c > "\u2e7f" and c != "\ufffd" for c in words)
    return whole > 20 * broken


def _unreadable(why: str) -> Refused:
    return Refused("imports.encoding", f"The text cannot be read: {why}.", _SAVE_AS)
