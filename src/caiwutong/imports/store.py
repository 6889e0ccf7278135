"""The rows of imports in PostgreSQL, and the port both stores keep."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

import msgspec

from caiwutong.db.database import Tx
from caiwutong.db.postgres import Row, columns, pg
from caiwutong.db.queries import load as load_queries
from caiwutong.imports.model import Problem
from caiwutong.imports.records import Chunk, Import, Report, RowOutcome, State, Status
from caiwutong.kernel.errors import Refusal

_sql = load_queries(__package__ or "")
_encode = msgspec.json.encode
_report = msgspec.json.Decoder(Report)
_problems = msgspec.json.Decoder(tuple[Problem, ...])
_error = msgspec.json.Decoder(Refusal)


class ImportStore(Protocol):
    """Rows of imports: one for PostgreSQL, one in memory, one contract suite for both."""

    async def insert(self, tx: Tx, tenant: str, record: Import, file: Sequence[bytes]) -> bool:
        """Keep a new import with its file in parts; False, and nothing kept, when the file is
        here already."""
        ...

    async def file(self, tx: Tx, tenant: str, import_id: UUID) -> list[bytes]: ...

    async def get(self, tx: Tx, tenant: str, import_id: UUID) -> Import | None: ...

    async def by_digest(self, tx: Tx, tenant: str, digest: bytes) -> Import | None: ...

    async def page(self, tx: Tx, tenant: str, before: UUID, limit: int) -> list[Import]: ...

    async def claim(
        self, tx: Tx, tenant: str, import_id: UUID, now: datetime, lease_until: datetime
    ) -> Import | None:
        """The import, its fence raised; None while another runner's lease lasts."""
        ...

    async def save(self, tx: Tx, tenant: str, record: Import) -> bool:
        """Write the progress; False when the fence was lost."""
        ...

    async def clear(self, tx: Tx, tenant: str, import_id: UUID, *, chunks: bool) -> None:
        """Forget the outcomes of rows, and the chunks too when asked."""
        ...

    async def put_rows(
        self, tx: Tx, tenant: str, import_id: UUID, rows: Sequence[RowOutcome]
    ) -> None: ...

    async def rows(
        self, tx: Tx, tenant: str, import_id: UUID, after: int, limit: int
    ) -> list[RowOutcome]: ...

    async def put_chunk(self, tx: Tx, tenant: str, import_id: UUID, chunk: Chunk) -> None: ...

    async def chunks(
        self, tx: Tx, tenant: str, import_id: UUID, after: int, limit: int
    ) -> list[Chunk]: ...

    async def unfinished(self, tx: Tx, tenant: str, now: datetime) -> list[UUID]:
        """Imports left in the middle by a runner that is gone."""
        ...


class PostgresImportStore:
    """Imports in PostgreSQL."""

    async def insert(self, tx: Tx, tenant: str, record: Import, file: Sequence[bytes]) -> bool:
        r = record
        done = await pg(tx).execute(
            _sql["insert_import"], tenant, r.import_id, r.digest, r.file_name, r.sheet,
            r.size_bytes, r.caller, r.actor, r.begun_on, r.created_at,
        )  # fmt: skip
        if not done:
            return False
        for part, body in enumerate(file):
            await pg(tx).execute(_sql["insert_file"], tenant, r.import_id, [part], [body])
        return True

    async def file(self, tx: Tx, tenant: str, import_id: UUID) -> list[bytes]:
        return [row["body"] for row in await pg(tx).fetch(_sql["file"], tenant, import_id)]

    async def get(self, tx: Tx, tenant: str, import_id: UUID) -> Import | None:
        row = await pg(tx).fetch_one(_sql["import"], tenant, import_id)
        return None if row is None else _import(row)

    async def by_digest(self, tx: Tx, tenant: str, digest: bytes) -> Import | None:
        import_id = await pg(tx).value(_sql["import_by_digest"], tenant, digest)
        return None if import_id is None else await self.get(tx, tenant, import_id)

    async def page(self, tx: Tx, tenant: str, before: UUID, limit: int) -> list[Import]:
        return [_import(r) for r in await pg(tx).fetch(_sql["imports"], tenant, before, limit)]

    async def claim(
        self, tx: Tx, tenant: str, import_id: UUID, now: datetime, lease_until: datetime
    ) -> Import | None:
        fence = await pg(tx).value(_sql["claim"], tenant, import_id, now, lease_until)
        return None if fence is None else await self.get(tx, tenant, import_id)

    async def save(self, tx: Tx, tenant: str, record: Import) -> bool:
        r = record
        done = await pg(tx).execute(
            _sql["save"], tenant, r.import_id, r.fence, r.state.value, r.lease_until,
            None if r.report is None else _encode(r.report), r.rows_total, r.rows_done, r.applied,
            r.applied_fen, r.awaiting, r.already, r.not_applied, r.left_out, r.run_started_at,
            r.run_from, r.updated_at, r.finished_at,
            None if r.error is None else _encode(r.error), r.skip_bad, r.allow_duplicates,
        )  # fmt: skip
        return done == 1

    async def clear(self, tx: Tx, tenant: str, import_id: UUID, *, chunks: bool) -> None:
        await pg(tx).execute(_sql["clear_rows"], tenant, import_id)
        if chunks:
            await pg(tx).execute(_sql["clear_chunks"], tenant, import_id)

    async def put_rows(
        self, tx: Tx, tenant: str, import_id: UUID, rows: Sequence[RowOutcome]
    ) -> None:
        if rows:
            values = [
                (r.row_no, r.status.value, _encode(r.problems), r.key, r.payment_id) for r in rows
            ]
            await pg(tx).execute(_sql["put_rows"], tenant, import_id, *columns(values, 5))

    async def rows(
        self, tx: Tx, tenant: str, import_id: UUID, after: int, limit: int
    ) -> list[RowOutcome]:
        found = await pg(tx).fetch(_sql["rows"], tenant, import_id, after, limit)
        return [
            RowOutcome(
                r["row_no"],
                Status(r["status"]),
                _problems.decode(r["problems"]),
                r["key"],
                r["payment_id"],
            )
            for r in found
        ]

    async def put_chunk(self, tx: Tx, tenant: str, import_id: UUID, chunk: Chunk) -> None:
        await pg(tx).execute(
            _sql["put_chunk"], tenant, import_id, chunk.chunk_no, chunk.row_nos, chunk.payment_ids
        )

    async def chunks(
        self, tx: Tx, tenant: str, import_id: UUID, after: int, limit: int
    ) -> list[Chunk]:
        found = await pg(tx).fetch(_sql["chunks"], tenant, import_id, after, limit)
        return [
            Chunk(r["chunk_no"], list(r["row_nos"]), [UUID(int=i.int) for i in r["payment_ids"]])
            for r in found
        ]

    async def unfinished(self, tx: Tx, tenant: str, now: datetime) -> list[UUID]:
        return [r["import_id"] for r in await pg(tx).fetch(_sql["unfinished"], tenant, now)]


def _import(row: Row) -> Import:
    values: dict[str, Any] = dict(row)
    values["state"] = State(values["state"])
    if values["report"] is not None:
        values["report"] = _report.decode(values["report"])
    if values["error"] is not None:
        values["error"] = _error.decode(values["error"])
    return Import(**values)
