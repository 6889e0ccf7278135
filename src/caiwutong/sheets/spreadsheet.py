"""Workbooks (XLSX, XLS, ODS) as rows, read in a process of its own.

The file is checked for zip bombs here, by really inflating it and counting; then
``spreadsheet_child.py`` opens it under limits on memory and time, and rows stream back in frames.
Whatever the workbook does to its reader, this process sees only rows or a refusal.
"""

from __future__ import annotations

import contextlib
import io
import struct
import subprocess
import sys
import threading
import zipfile
import zlib
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any, cast

import msgspec

from caiwutong.kernel.errors import Refused
from caiwutong.sheets.model import Raw

_CHILD = Path(__file__).with_name("spreadsheet_child.py")
_FRESH = "Copy the rows into a new workbook (values only) and save it as .xlsx, or save as CSV."


class Limits(msgspec.Struct, frozen=True):
    """How much a workbook may ask of us."""

    inflated_bytes: int = 256 << 20
    """All parts of the zip together, uncompressed."""
    parts: int = 2_000
    memory_bytes: int = 768 << 20
    cpu_seconds: int = 30
    wall_seconds: float = 60.0


class Head(msgspec.Struct, frozen=True):
    """A sheet's name, whether it is visible, how many columns it spans, and its first rows (none
    where it is too wide to be a list of payments)."""

    name: str
    visible: bool
    width: int
    rows: list[tuple[int, list[Raw]]]


def check_zip(data: bytes, limits: Limits) -> None:
    """Refuse a zip that inflates beyond the limit, lies about its sizes, or is locked."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = archive.infolist()
            if len(parts) > limits.parts:
                raise _bomb(f"it has {len(parts)} parts")
            room = limits.inflated_bytes
            if sum(part.file_size for part in parts) > room:
                raise _bomb(f"it unpacks to more than {room >> 20} MiB")
            for part in parts:
                room -= _inflated(archive, part, room)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OverflowError) as error:
        raise Refused(
            "imports.spreadsheet_damaged",
            f"The workbook is damaged ({str(error)[:80]}).",
            "Download or export it again; " + _FRESH,
        ) from error
    except RuntimeError as error:  # zipfile's word for an encrypted part
        raise _locked() from error


def _inflated(archive: zipfile.ZipFile, part: zipfile.ZipInfo, room: int) -> int:
    told, count = part.file_size, 0
    part.file_size = room + 1  # read to the true end of the data, not to where the header says
    with archive.open(part) as stream:
        while chunk := stream.read(1 << 20):
            count += len(chunk)
            if count > told or count > room:
                raise _bomb("a part is larger than it says")
    part.file_size = told
    return count


def _bomb(why: str) -> Refused:
    return Refused("imports.too_large_inside", f"The workbook is refused: {why}.", _FRESH)


def _locked() -> Refused:
    return Refused(
        "imports.password",
        "The workbook is protected by a password.",
        "Remove the password (文件 → 信息 → 保护工作簿) and save it again.",
    )


def _revive(code: int, body: memoryview) -> Raw:
    words = bytes(body).decode()
    if code == 1:
        return datetime.fromisoformat(words)
    if code == 2:
        return date.fromisoformat(words)
    if code == 3:
        return time.fromisoformat(words)
    return timedelta(seconds=float(words))


class Workbook:
    """One open workbook. A context manager: leaving it ends the reading process."""

    def __init__(self, data: bytes, limits: Limits | None = None) -> None:
        limits = limits or Limits()
        if data[:2] == b"PK":
            check_zip(data, limits)
        elif "EncryptedPackage".encode("utf-16-le") in data:
            raise _locked()
        self._decoder = msgspec.msgpack.Decoder(ext_hook=_revive)
        self._process = subprocess.Popen(
            [sys.executable, "-I", str(_CHILD), str(limits.memory_bytes), str(limits.cpu_seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._patience = limits.wall_seconds
        try:
            self._write(struct.pack(">Q", len(data)) + data)
            self.heads = [
                Head(name, visible, width, [(no, row) for no, row in rows])
                for name, visible, width, rows in self._receive()["sheets"]
            ]
        except BaseException:
            self.close()
            raise

    def survey(self, sheet: str, header_row: int, date_at: int) -> tuple[int, list[str]]:
        """(Rows below the header, the different texts of the column at ``date_at``, -1: none)."""
        self._ask({"do": "survey", "sheet": sheet, "header_row": header_row, "date_at": date_at})
        answer = self._receive()
        return answer["count"], answer["dates"]

    def rows(self, sheet: str) -> Iterator[tuple[int, list[Raw]]]:
        """(Row number, cells) of every row of this sheet that is not empty."""
        self._ask({"do": "rows", "sheet": sheet})
        while "rows" in (frame := self._receive()):
            yield from ((number, cells) for number, cells in frame["rows"])

    def close(self) -> None:
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                if pipe:
                    pipe.close()
        self._process.wait()

    def __enter__(self) -> Workbook:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, body: bytes) -> None:
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):  # the reason comes with the next frame
            self._process.stdin.write(body)
            self._process.stdin.flush()

    def _ask(self, command: dict[str, Any]) -> None:
        body = msgspec.msgpack.encode(command)
        self._write(struct.pack(">I", len(body)) + body)

    def _receive(self) -> dict[str, Any]:
        assert self._process.stdout
        # Only waiting for the child counts: a reader of rows may take its time between frames.
        timer = threading.Timer(self._patience, self._process.kill)
        timer.daemon = True
        timer.start()
        size = self._process.stdout.read(4)
        body = self._process.stdout.read(int.from_bytes(size)) if len(size) == 4 else b""
        timer.cancel()
        if not body:
            raise Refused(
                "imports.spreadsheet_exhausting",
                "Reading the workbook took too much memory or time.",
                "It may hold stray cells far below or right of the rows. " + _FRESH,
            )
        message = cast("dict[str, Any]", self._decoder.decode(body))
        if message.get("error") == "password":
            raise _locked()
        if "error" in message:
            raise Refused(
                "imports.spreadsheet_damaged",
                f"The workbook cannot be read ({message['detail']}).",
                "Open it, save it again as .xlsx, and check that it is a workbook; " + _FRESH,
            )
        return message
