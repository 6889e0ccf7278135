"""Signed tree heads, and the file outside the database where they are witnessed.

A head says: after this batch the log of this tenant has ``size`` events and this root. It also
carries four bytes of each leaf of the batch (``marks``), so that the verifier can name the altered
event even if someone rewrites event and leaf together. The bytes that are signed are the head's
canonical JSON.

``heads.jsonl`` is append-only, one head a line, on disk before ``append`` returns. Copy it off the
machine (a log collector will do): who can rewrite both database and file can shorten both.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from caiwutong.kernel.errors import Broken, Conflict

HEADS_FILE_NAME = "heads.jsonl"
MARK_BYTES = 4


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """A tree head as it is signed. Field order is the order of the signed bytes."""

    version: int
    tenant: str
    batch_no: int
    size: int
    root: str
    at: str
    marks: str

    def encoded(self) -> bytes:
        """The bytes that are signed."""
        return msgspec.json.encode(self)

    def mark_bytes(self) -> bytes:
        """The first four bytes of each leaf of the batch, one after the other."""
        return b64decode(self.marks)


class SignedHead(msgspec.Struct, frozen=True):
    """One line of the file: the head's exact bytes and the Ed25519 signature over them, in hex."""

    head: msgspec.Raw
    signature: str

    @classmethod
    def of(cls, head: bytes, signature: bytes) -> SignedHead:
        return cls(msgspec.Raw(head), signature.hex())

    def decoded(self) -> Head:
        return decode_head(bytes(self.head))

    def is_signed_by(self, public_key: bytes) -> bool:
        """Whether the signature is the vault's over the exact bytes of the head."""
        try:
            signature = bytes.fromhex(self.signature)
        except ValueError:
            return False
        return signature_is_good(public_key, bytes(self.head), signature)


class HeadsOut(Protocol):
    """Where heads are exported to."""

    async def last(self, tenant: str) -> Head | None:
        """The newest exported head of this tenant."""
        ...

    async def tenants(self) -> list[str]:
        """Every tenant with an exported head."""
        ...

    async def append(self, heads: Sequence[SignedHead]) -> None:
        """Export these heads in order; durable when it returns.

        Heads already exported are passed over. Raises ``Conflict`` ``audit.head_gap``, writing
        nothing, when one before them is missing.
        """
        ...


def marks(leaves: Sequence[bytes]) -> str:
    """The first four bytes of each leaf, in base64."""
    return b64encode(b"".join(leaf[:MARK_BYTES] for leaf in leaves)).decode()


def decode_head(data: bytes) -> Head:
    """The head behind its signed bytes; ``Broken`` ``audit.bad_head`` if they are none."""
    try:
        head = msgspec.json.decode(data, type=Head)
    except msgspec.DecodeError as error:
        raise Broken("audit.bad_head", "An audit head cannot be read.") from error
    if head.encoded() != data or head.version != 1:
        raise Broken("audit.bad_head", "An audit head is not in its canonical form, version 1.")
    return head


def signature_is_good(public_key: bytes, head: bytes, signature: bytes) -> bool:
    """Whether this is the vault's signature over these bytes."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, head)
    except InvalidSignature:
        return False
    return True


class MemoryHeads:
    """Heads kept in a list: for tests and simulations."""

    def __init__(self) -> None:
        self.lines: list[SignedHead] = []
        self._last: dict[str, Head] = {}

    async def last(self, tenant: str) -> Head | None:
        return self._last.get(tenant)

    async def tenants(self) -> list[str]:
        return sorted(self._last)

    async def append(self, heads: Sequence[SignedHead]) -> None:
        fresh, self._last = _following(self._last, heads)
        self.lines.extend(fresh)


class HeadsFile:
    """``heads.jsonl`` in a folder. Several sealers may share it: each append holds its lock."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / HEADS_FILE_NAME
        self._read_to = 0
        self._last: dict[str, Head] = {}

    async def last(self, tenant: str) -> Head | None:
        await asyncio.to_thread(self._catch_up)
        return self._last.get(tenant)

    async def tenants(self) -> list[str]:
        await asyncio.to_thread(self._catch_up)
        return sorted(self._last)

    async def append(self, heads: Sequence[SignedHead]) -> None:
        if heads:
            await asyncio.to_thread(self._append, heads)

    def _append(self, heads: Sequence[SignedHead]) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        is_new = not self.path.exists()
        with open(self.path, "a+b", opener=_private) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            end = _cut_torn_line(file.fileno())
            self._read(end)
            fresh, last = _following(self._last, heads)
            data = b"".join(msgspec.json.encode(each) + b"\n" for each in fresh)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            self._last, self._read_to = last, end + len(data)
        if is_new:
            _sync_folder(self.path.parent)

    def _catch_up(self) -> None:
        if self.path.exists():
            self._read(self.path.stat().st_size)

    def _read(self, end: int) -> None:
        if self._read_to >= end:
            return
        for line, after in _lines(self.path, self._read_to, end):
            head = line.decoded()
            self._last[head.tenant] = head
            self._read_to = after


def read_heads(path: Path) -> Iterator[SignedHead]:
    """The lines of a heads file, one at a time; a torn last line (a crash) is left out.

    Raises ``Broken`` ``audit.bad_head`` for a line that is none.
    """
    if not path.exists():
        return
    for line, _ in _lines(path, 0, path.stat().st_size):
        yield line


def _following(
    last: dict[str, Head], heads: Sequence[SignedHead]
) -> tuple[list[SignedHead], dict[str, Head]]:
    """The heads that are new after ``last``, and what is last after them."""
    last, fresh = dict(last), list[SignedHead]()
    for each in heads:
        head = each.decoded()
        number = last[head.tenant].batch_no if head.tenant in last else 0
        if head.batch_no > number + 1:
            raise Conflict(
                "audit.head_gap",
                f"Head {head.batch_no} of {head.tenant} would follow head {number}.",
                "Export the heads between them first.",
            )
        if head.batch_no == number + 1:
            fresh.append(each)
            last[head.tenant] = head
    return fresh, last


def _lines(path: Path, start: int, end: int) -> Iterator[tuple[SignedHead, int]]:
    with open(path, "rb") as file:
        file.seek(start)
        at = start
        while at < end:
            text = file.readline()
            if not text.endswith(b"\n"):
                return
            at += len(text)
            try:
                yield msgspec.json.decode(text, type=SignedHead), at
            except msgspec.DecodeError as error:
                raise Broken(
                    "audit.bad_head",
                    f"A line of {path.name} that ends at byte {at} is not a signed head.",
                    "Restore the file from its copy.",
                ) from error


def _cut_torn_line(handle: int) -> int:
    """Cut what a crash left of a half-written line; the size of the file then."""
    size = os.fstat(handle).st_size
    keep = size
    while keep:
        start = max(0, keep - 4096)
        found = os.pread(handle, keep - start, start).rfind(b"\n")
        if found >= 0:
            keep = start + found + 1
            break
        keep = start
    if keep != size:
        os.ftruncate(handle, keep)
    return keep


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
