"""Evidence packs (证据包): a payment, or everything of a period, as one archive that proves itself.

A pack is a ZIP with the events as the exact bytes that were hashed, the signed heads, what leads
from the one to the other, and ``verify.py``, which checks it all with Python alone. Whoever holds
the log's public key needs nothing else of ours. Format: docs/audit.md.

A period is made of whole batches, by the time they were sealed: the tree is grown over them from
the peaks before, so nothing can be left out of it. A payment's events are proved one by one.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import IO, Any
from uuid import UUID

import msgspec

from caiwutong.audit import stand_alone
from caiwutong.audit.heads import SignedHead
from caiwutong.audit.model import Event, event_bytes
from caiwutong.audit.proof import prove
from caiwutong.audit.store import AuditStore
from caiwutong.db.database import Database, Tx
from caiwutong.kernel.errors import NotFound

FORMAT = 1
_AT_ONCE = 32
_VERIFIER = Path(stand_alone.__file__)


class Packed(msgspec.Struct, frozen=True, kw_only=True):
    """What a pack holds."""

    path: str
    events: int
    heads: int
    bytes: int
    public_key: str
    """Tell it to the auditor by another way than the pack."""


class _Pack:
    """A ZIP being written."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._zip = archive
        self.heads: list[bytes] = []
        self.events = 0

    def put(self, name: str, data: bytes) -> None:
        self._zip.writestr(name, data)

    def record(self, file: IO[bytes], event: Event) -> None:
        record = event_bytes(event)
        file.write(len(record).to_bytes(4) + record)
        self.events += 1

    def head(self, head: bytes, signature: bytes) -> None:
        self.heads.append(msgspec.json.encode(SignedHead.of(head, signature)))

    def close(self, manifest: dict[str, Any]) -> None:
        self.put("heads.jsonl", b"".join(line + b"\n" for line in self.heads))
        self.put("manifest.json", msgspec.json.format(msgspec.json.encode(manifest), indent=1))
        self._zip.write(_VERIFIER, "verify.py")


async def pack_period(
    database: Database,
    store: AuditStore,
    tenant: str,
    public_key: bytes,
    start: datetime,
    end: datetime,
    made_at: datetime,
    path: Path,
) -> Packed:
    """Every event sealed from ``start`` until before ``end``, whole batches. Raises ``NotFound``
    ``audit.nothing_sealed`` when there is none. ``path`` appears only when the pack is whole."""
    async with database.transaction() as tx:
        first = await store.batch_sealed_from(tx, tenant, start)
        if first is None or first.sealed_at >= end:
            raise NotFound(
                "audit.nothing_sealed",
                f"Nothing of {tenant[:32]} was sealed from {start} until {end}.",
                "Choose a period in which something happened.",
            )
        number = first.batch_no - 1
        before = (await store.batches_after(tx, tenant, number - 1, 1))[:1] if number else []
        with _writing(path) as archive:
            pack = _Pack(archive)
            for batch in before:
                pack.head(batch.head, batch.signature)
            with archive.open("events.bin", "w", force_zip64=True) as file:
                await _write_period(tx, store, tenant, number, end, pack, file)
            pack.close(
                {
                    "format": FORMAT,
                    "tenant": tenant,
                    "made_at": made_at,
                    "public_key": public_key.hex(),
                    "scope": {"kind": "period", "from": start, "until": end},
                    "size_before": before[0].size if before else 0,
                    "frontier_before": before[0].frontier.hex() if before else "",
                    "events": pack.events,
                }
            )
    return _packed(path, pack, public_key)


async def _write_period(
    tx: Tx,
    store: AuditStore,
    tenant: str,
    number: int,
    end: datetime,
    pack: _Pack,
    file: IO[bytes],
) -> None:
    while batches := await store.batches_after(tx, tenant, number, _AT_ONCE):
        for batch in batches:
            if batch.sealed_at >= end:
                return
            for _, event in await store.read_sealed(tx, tenant, batch.first_seq - 1, batch.count):
                pack.record(file, event)
            pack.head(batch.head, batch.signature)
            number = batch.batch_no


async def pack_subject(
    database: Database,
    store: AuditStore,
    tenant: str,
    public_key: bytes,
    subject_kind: str,
    subject_id: UUID,
    made_at: datetime,
    path: Path,
    objects: Mapping[str, Any],
) -> Packed:
    """Every event about one thing, each with its proof; ``objects`` are further JSON files by
    name: what the thing looks like, who signed. Raises ``NotFound`` for something the log does not
    know, and ``audit.not_sealed_yet`` while its last event is not sealed."""
    async with database.transaction() as tx:
        events = await store.timeline(tx, tenant, subject_id)
        if not events:
            raise NotFound(
                "audit.no_such_subject",
                f"The log knows nothing of {subject_kind} {subject_id}.",
                "Check the number.",
            )
        proofs = [await prove(store, tx, event) for event in events]
    with _writing(path) as archive:
        pack = _Pack(archive)
        heads: dict[int, SignedHead] = {}
        lines: list[bytes] = []
        with archive.open("events.bin", "w") as file:
            for proof in proofs:
                number = proof.head.decoded().batch_no
                heads[number] = proof.head
                pack.record(file, proof.event)
                line = {"seq": proof.seq, "batch_no": number, "path": proof.path}
                lines.append(msgspec.json.encode(line) + b"\n")
        for _, head in sorted(heads.items()):
            pack.head(bytes(head.head), bytes.fromhex(head.signature))
        pack.put("proofs.jsonl", b"".join(lines))
        for name, value in objects.items():
            pack.put(name, msgspec.json.format(msgspec.json.encode(value), indent=1))
        pack.close(
            {
                "format": FORMAT,
                "tenant": tenant,
                "made_at": made_at,
                "public_key": public_key.hex(),
                "scope": {"kind": subject_kind, "id": str(subject_id)},
                "events": pack.events,
            }
        )
    return _packed(path, pack, public_key)


class _writing:  # noqa: N801  used like a function
    """A ZIP that takes its name only when it was written to its end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(path.name + ".part")

    def __enter__(self) -> zipfile.ZipFile:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._zip = zipfile.ZipFile(self._part, "w", zipfile.ZIP_DEFLATED, compresslevel=1)
        return self._zip

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._zip.close()
        if kind is None:
            self._part.replace(self._path)
        else:
            self._part.unlink()


def _packed(path: Path, pack: _Pack, public_key: bytes) -> Packed:
    return Packed(
        path=str(path),
        events=pack.events,
        heads=len(pack.heads),
        bytes=path.stat().st_size,
        public_key=public_key.hex(),
    )
