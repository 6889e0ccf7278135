"""Batch imports: send a file, check it, apply it, watch it, and read the rows that need a hand."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, QueryParameter

from caiwutong.api.http import PROBLEMS, TAKES, Body, Who, actor, decode, reply
from caiwutong.api.paging import Cursor, Limit, Page, Paging
from caiwutong.api.problems import BadRequest
from caiwutong.api.services import Services
from caiwutong.imports.records import Import, Progress, Report, RowOutcome, State
from caiwutong.kernel.errors import CaiwutongError, Refusal

log = logging.getLogger(__name__)

FILE = bytes
"""The body of an upload: the file as it is."""


class ImportView(msgspec.Struct, frozen=True):
    """An import (批量导入): one file, and what became of it."""

    import_id: UUID
    file_name: str
    sheet: str
    size_bytes: int
    state: State
    rows_total: int
    rows_done: int
    applied: int
    applied_fen: int
    awaiting_signatures: int
    already: int
    """Rows that were payments before: nothing was paid twice."""
    not_applied: int
    left_out: int
    report: Report | None
    """What the check found."""
    error: Refusal | None
    created_at: datetime
    updated_at: datetime | None
    finished_at: datetime | None


class Apply(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How to apply a checked import."""

    skip_bad: bool = False
    """Pay the rows that can be paid, and leave the others."""
    allow_duplicates: bool = False
    """Pay rows that look like a payment made before."""
    retry: bool = False
    """Try the rows again that a finished import could not apply."""


def import_routes(house: Services, paging: Paging) -> list[HTTPRouteHandler]:
    """The handlers under /v1/imports."""
    imports = house.imports
    running = Running()

    @post("/v1/imports", opt={TAKES: FILE})
    async def upload(
        body: Body,
        caller: Who,
        file_name: Annotated[str, QueryParameter(min_length=1, max_length=200)],
        sheet: Annotated[str, QueryParameter(max_length=100)] = "",
    ) -> Response[ImportView]:
        """Send a file (CSV, XLSX, pain.001) as it is, up to 64 MiB. The same file is the same
        import: it answers with the one that is here."""
        if not body:
            raise BadRequest("request.empty_file", "The file is empty.", "Send its bytes.")
        made, _ = await imports.receive(
            caller.tenant,
            body,
            file_name=file_name,
            sheet=sheet,
            caller=caller.api_key_id,
            actor=actor(caller),
        )
        return reply(_view(made), status=201, location=f"/v1/imports/{made.import_id}")

    @get("/v1/imports")
    async def find_imports(
        caller: Who, limit: Limit = 100, cursor: Cursor = None
    ) -> Response[Page[ImportView]]:
        """Imports, newest first."""
        before = paging.id_after(caller.tenant, "imports", cursor)
        found = await imports.page(caller.tenant, before=before, limit=limit + 1)
        page = paging.page(caller.tenant, "imports", limit, found, lambda i: str(i.import_id))
        return reply(Page([_view(i) for i in page.items], page.next))

    @get("/v1/imports/{import_id:uuid}")
    async def read_import(import_id: FromPath[UUID], caller: Who) -> Response[ImportView]:
        """One import."""
        return reply(_view(await imports.get(caller.tenant, import_id)))

    @post("/v1/imports/{import_id:uuid}/check", status_code=202, opt={PROBLEMS: (409,)})
    async def check(import_id: FromPath[UUID], caller: Who) -> Response[Progress]:
        """Read every row and report; nothing is paid. Goes on after the answer: read the
        progress."""
        await imports.get(caller.tenant, import_id)
        await running.begin(imports.check(caller.tenant, import_id))
        return reply(await imports.progress(caller.tenant, import_id), status=202)

    @post(
        "/v1/imports/{import_id:uuid}/apply",
        status_code=202,
        opt={TAKES: Apply, PROBLEMS: (409,)},
    )
    async def apply(import_id: FromPath[UUID], body: Body, caller: Who) -> Response[Progress]:
        """Pay the rows. Goes on after the answer: read the progress. Safe to send again."""
        asked = decode(Apply, body or b"{}")
        await imports.get(caller.tenant, import_id)
        await running.begin(
            imports.apply(
                caller.tenant,
                import_id,
                skip_bad=asked.skip_bad,
                allow_duplicates=asked.allow_duplicates,
                retry=asked.retry,
            )
        )
        return reply(await imports.progress(caller.tenant, import_id), status=202)

    @get("/v1/imports/{import_id:uuid}/progress")
    async def read_progress(import_id: FromPath[UUID], caller: Who) -> Response[Progress]:
        """How far it is, how fast, and how long it will still take."""
        return reply(await imports.progress(caller.tenant, import_id))

    @get("/v1/imports/{import_id:uuid}/rows")
    async def find_rows(
        import_id: FromPath[UUID], caller: Who, limit: Limit = 100, cursor: Cursor = None
    ) -> Response[Page[RowOutcome]]:
        """Rows worth telling of, in file order, each with cause and cure."""
        name = f"rows/{import_id}"
        place = paging.place(caller.tenant, name, cursor)
        await imports.get(caller.tenant, import_id)
        found = await imports.rows(caller.tenant, import_id, after=int(place or 0), limit=limit + 1)
        return reply(paging.page(caller.tenant, name, limit, found, lambda r: str(r.row_no)))

    return [upload, find_imports, read_import, check, apply, read_progress, find_rows]


class Running:
    """Imports at work in this process. One that this process does not end is taken up by a worker
    when its lease runs out."""

    WAIT_S = 0.5

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Import]] = set()

    async def begin(self, work: Coroutine[Any, Any, Import]) -> None:
        """Begin, and wait a moment: a refusal at the door is told at the door."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        finished, _ = await asyncio.wait({task}, timeout=self.WAIT_S)
        if finished:
            task.result()

    def _done(self, task: asyncio.Task[Import]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, CaiwutongError):
            log.error("an import broke off", exc_info=error)


def _view(i: Import) -> ImportView:
    return ImportView(
        i.import_id, i.file_name, i.sheet, i.size_bytes, i.state, i.rows_total, i.rows_done,
        i.applied, i.applied_fen, i.awaiting, i.already, i.not_applied, i.left_out, i.report,
        i.error, i.created_at, i.updated_at, i.finished_at,
    )  # fmt: skip
