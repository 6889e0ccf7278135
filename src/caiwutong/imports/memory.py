"""The memory twin of the import store, under the same contract suite."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from caiwutong.db.database import Tx
from caiwutong.db.memory import mem
from caiwutong.imports.records import Chunk, Import, RowOutcome, State

_Rows = dict[int, RowOutcome]
_Chunks = dict[int, Chunk]


class MemoryImportStore:
    """Imports in plain dicts."""

    def __init__(self) -> None:
        self._imports: dict[tuple[str, UUID], Import] = {}
        self._files: dict[tuple[str, UUID], list[bytes]] = {}
        self._rows: dict[tuple[str, UUID], _Rows] = {}
        self._chunks: dict[tuple[str, UUID], _Chunks] = {}

    async def insert(self, tx: Tx, tenant: str, record: Import, file: Sequence[bytes]) -> bool:
        if await self.by_digest(tx, tenant, record.digest) is not None:
            return False
        at = (tenant, record.import_id)
        mem(tx).put(self._imports, at, _copy(record))
        mem(tx).put(self._files, at, list(file))
        mem(tx).put(self._rows, at, {})
        mem(tx).put(self._chunks, at, {})
        return True

    async def file(self, tx: Tx, tenant: str, import_id: UUID) -> list[bytes]:
        return list(self._files.get((tenant, import_id), ()))

    async def get(self, tx: Tx, tenant: str, import_id: UUID) -> Import | None:
        found = self._imports.get((tenant, import_id))
        return None if found is None else _copy(found)

    async def by_digest(self, tx: Tx, tenant: str, digest: bytes) -> Import | None:
        for (owner, _), record in self._imports.items():
            if owner == tenant and record.digest == digest:
                return _copy(record)
        return None

    async def page(self, tx: Tx, tenant: str, before: UUID, limit: int) -> list[Import]:
        mine = [i for owner, i in self._imports if owner == tenant and i < before]
        return [_copy(self._imports[tenant, i]) for i in sorted(mine, reverse=True)[:limit]]

    async def claim(
        self, tx: Tx, tenant: str, import_id: UUID, now: datetime, lease_until: datetime
    ) -> Import | None:
        record = await self.get(tx, tenant, import_id)
        if record is None or (record.lease_until is not None and record.lease_until > now):
            return None
        record.fence += 1
        record.lease_until = lease_until
        mem(tx).put(self._imports, (tenant, import_id), record)
        return _copy(record)

    async def save(self, tx: Tx, tenant: str, record: Import) -> bool:
        at = (tenant, record.import_id)
        kept = self._imports.get(at)
        if kept is None or kept.fence != record.fence:
            return False
        mem(tx).put(self._imports, at, _copy(record))
        return True

    async def clear(self, tx: Tx, tenant: str, import_id: UUID, *, chunks: bool) -> None:
        mem(tx).put(self._rows, (tenant, import_id), {})
        if chunks:
            mem(tx).put(self._chunks, (tenant, import_id), {})

    async def put_rows(
        self, tx: Tx, tenant: str, import_id: UUID, rows: Sequence[RowOutcome]
    ) -> None:
        for row in rows:
            mem(tx).put(self._rows[tenant, import_id], row.row_no, row)

    async def rows(
        self, tx: Tx, tenant: str, import_id: UUID, after: int, limit: int
    ) -> list[RowOutcome]:
        rows = self._rows.get((tenant, import_id), {})
        return [rows[n] for n in sorted(n for n in rows if n > after)[:limit]]

    async def put_chunk(self, tx: Tx, tenant: str, import_id: UUID, chunk: Chunk) -> None:
        mem(tx).put(self._chunks[tenant, import_id], chunk.chunk_no, chunk)

    async def chunks(
        self, tx: Tx, tenant: str, import_id: UUID, after: int, limit: int
    ) -> list[Chunk]:
        chunks = self._chunks.get((tenant, import_id), {})
        return [chunks[n] for n in sorted(n for n in chunks if n > after)[:limit]]

    async def unfinished(self, tx: Tx, tenant: str, now: datetime) -> list[UUID]:
        return sorted(
            i
            for (owner, i), r in self._imports.items()
            if owner == tenant
            and r.state in (State.CHECKING, State.APPLYING)
            and (r.lease_until is None or r.lease_until <= now)
        )


def _copy(record: Import) -> Import:
    return msgspec.structs.replace(record)
