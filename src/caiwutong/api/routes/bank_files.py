"""Bank files: list, read and download them, hand in results and statements, and give rows up.

The one answer here that is not JSON is the file itself.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated
from urllib.parse import quote
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, QueryParameter

from caiwutong.api.http import PROBLEMS, TAKES, Body, DryRun, Who, actor, decode, reply
from caiwutong.api.paging import Cursor, Limit, Page, Paging
from caiwutong.api.problems import BadRequest
from caiwutong.api.routes.payments import Signature, Signing, signing_of, take_signature
from caiwutong.api.services import Services
from caiwutong.approvals.model import Subject
from caiwutong.bank_files.model import (
    RELEASE,
    BankFileRow,
    Exported,
    FileState,
    FileView,
    ReleaseView,
    ResultOutcome,
    StatementOutcome,
)

_File = Annotated[str, QueryParameter(min_length=1, max_length=200)]


class NewRelease(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which rows the bank never got, and how we know."""

    reason: Annotated[str, msgspec.Meta(min_length=4, max_length=200)]
    line_nos: Annotated[tuple[int, ...], msgspec.Meta(min_length=1, max_length=5000)] | None = None
    """Rows by number; left out: the whole file was never uploaded."""


def bank_file_routes(house: Services, paging: Paging) -> list[HTTPRouteHandler]:
    """The handlers under /v1/bank-files, and of statement files of accounts."""
    desk = house.bank_files

    @get("/v1/bank-files")
    async def find_bank_files(
        caller: Who,
        wanted: Annotated[list[FileState] | None, QueryParameter(name="state")] = None,
        bank_account_id: Annotated[UUID | None, QueryParameter()] = None,
        limit: Limit = 100,
        cursor: Cursor = None,
    ) -> Response[Page[FileView]]:
        """Files, newest first: what waits to be carried, and what waits for its result."""
        before = paging.id_after(caller.tenant, "bank-files", cursor)
        found = await desk.views.page(
            caller.tenant,
            states=wanted,
            bank_account_id=bank_account_id,
            before=before,
            limit=limit + 1,
        )
        page = paging.page(caller.tenant, "bank-files", limit, found, lambda f: str(f.file_id))
        return reply(page)

    @get("/v1/bank-files/{file_id:uuid}")
    async def read_bank_file(file_id: FromPath[UUID], caller: Who) -> Response[FileView]:
        """One file, its rows counted by state."""
        return reply(await desk.views.get(caller.tenant, file_id))

    @get("/v1/bank-files/{file_id:uuid}/lines")
    async def find_bank_file_lines(
        file_id: FromPath[UUID], caller: Who, limit: Limit = 100, cursor: Cursor = None
    ) -> Response[Page[BankFileRow]]:
        """The rows of a file, each with its payment and what the bank said."""
        name = f"bank-file-lines/{file_id}"
        place = paging.place(caller.tenant, name, cursor)
        found = await desk.views.lines(
            caller.tenant, file_id, after=int(place or 0), limit=limit + 1
        )
        return reply(paging.page(caller.tenant, name, limit, found, lambda i: str(i.line_no)))

    reading = [find_bank_files, read_bank_file, find_bank_file_lines]
    return [*reading, *_paper_routes(house), *_release_routes(house)]


def _paper_routes(house: Services) -> list[HTTPRouteHandler]:
    """The files themselves: out to the bank's page, and back from it."""
    desk = house.bank_files

    @post(
        "/v1/bank-files/{file_id:uuid}/export",
        status_code=200,
        media_type="application/octet-stream",
        opt={PROBLEMS: (409,)},
    )
    async def export_bank_file(file_id: FromPath[UUID], caller: Who) -> Response[bytes]:
        """The file to carry to the bank's page. The first call freezes it; every later one gives
        the same bytes. ``Digest`` is its SHA-256, hex."""
        made = await desk.files.export(caller.tenant, file_id, actor(caller))
        return _handed_out(made)

    @post(
        "/v1/bank-files/{file_id:uuid}/results",
        status_code=200,
        opt={TAKES: bytes, PROBLEMS: (409,)},
    )
    async def take_result(
        file_id: FromPath[UUID], body: Body, caller: Who, file_name: _File
    ) -> Response[ResultOutcome]:
        """Hand in the bank's result file (回盘) as it is. The same bytes again change nothing."""
        _not_empty(body)
        return reply(
            await desk.results.take(
                caller.tenant, file_id, body, file_name=file_name, actor=actor(caller)
            )
        )

    @post(
        "/v1/bank-accounts/{bank_account_id:uuid}/statement-files",
        status_code=200,
        opt={TAKES: bytes, PROBLEMS: (409,)},
    )
    async def take_statement(
        bank_account_id: FromPath[UUID],
        body: Body,
        caller: Who,
        choose: Annotated[
            list[str] | None, QueryParameter(description="LINE=REFERENCE or LINE=none")
        ] = None,
        complete_to: Annotated[date | None, QueryParameter()] = None,
        dry_run: DryRun = False,
    ) -> Response[StatementOutcome]:
        """Hand in a statement file of an account without a link. ``dry_run`` tells which lines are
        ambiguous; ``complete_to`` is the last day of which the file shows everything."""
        _not_empty(body)
        return reply(
            await desk.statement_files.take(
                caller.tenant,
                bank_account_id,
                body,
                actor=actor(caller),
                choices=dict(_choice(each) for each in choose or ()),
                complete_to=complete_to,
                dry_run=dry_run,
            )
        )

    return [export_bank_file, take_result, take_statement]


def _release_routes(house: Services) -> list[HTTPRouteHandler]:
    """Two people say that the bank never got a file, or some of its rows."""
    desk = house.bank_files

    @post("/v1/bank-files/{file_id:uuid}/releases", opt={TAKES: NewRelease, PROBLEMS: (409,)})
    async def propose_release(
        file_id: FromPath[UUID], body: Body, caller: Who
    ) -> Response[ReleaseView]:
        """Ask two people to sign that the bank never got these rows. Nothing is freed before."""
        asked = decode(NewRelease, body)
        made = await desk.releases.propose(
            caller.tenant,
            file_id,
            maker=caller.api_key_id,
            actor=actor(caller),
            reason=asked.reason,
            line_nos=asked.line_nos,
        )
        return reply(made, status=201, location=f"/v1/bank-file-releases/{made.release_id}")

    @get("/v1/bank-files/{file_id:uuid}/releases")
    async def find_releases(file_id: FromPath[UUID], caller: Who) -> Response[Page[ReleaseView]]:
        """Every proposal about a file, oldest first."""
        return reply(Page(await desk.views.releases(caller.tenant, file_id), None))

    @get("/v1/bank-file-releases/{release_id:uuid}")
    async def read_release(release_id: FromPath[UUID], caller: Who) -> Response[ReleaseView]:
        """One proposal."""
        return reply(await desk.releases.view(caller.tenant, release_id))

    @get("/v1/bank-file-releases/{release_id:uuid}/signatures")
    async def read_release_signing(release_id: FromPath[UUID], caller: Who) -> Response[Signing]:
        """Who signed, how many are missing, and the exact bytes to sign."""
        found = await desk.releases.view(caller.tenant, release_id)
        return reply(await signing_of(house, caller, _subject(found)))

    @post(
        "/v1/bank-file-releases/{release_id:uuid}/signatures",
        status_code=200,
        opt={TAKES: Signature, PROBLEMS: (409, 412)},
    )
    async def sign_release(
        release_id: FromPath[UUID], body: Body, caller: Who
    ) -> Response[Signing]:
        """Hand in a person's signature. With the second one the rows are free."""
        given = decode(Signature, body)
        found = await desk.releases.view(caller.tenant, release_id)
        return reply(await take_signature(house, caller, _subject(found), given))

    @post(
        "/v1/bank-file-releases/{release_id:uuid}/withdraw",
        status_code=200,
        opt={PROBLEMS: (409,)},
    )
    async def withdraw_release(release_id: FromPath[UUID], caller: Who) -> Response[ReleaseView]:
        """Take a proposal back before it is decided."""
        return reply(await desk.releases.withdraw(caller.tenant, release_id, actor(caller)))

    return [
        propose_release, find_releases, read_release, read_release_signing, sign_release,
        withdraw_release,
    ]  # fmt: skip


def _handed_out(made: Exported) -> Response[bytes]:
    return Response(
        made.content,
        status_code=200,
        media_type="application/octet-stream",
        headers={
            "cache-control": "no-store",
            "content-disposition": f"attachment; filename*=UTF-8''{quote(made.file_name)}",
            "digest": f"sha-256={made.digest}",
        },
    )


def _subject(release: ReleaseView) -> Subject:
    return Subject(RELEASE, release.release_id, bytes.fromhex(release.digest))


def _choice(text: str) -> tuple[str, str]:
    line, sign, reference = text.partition("=")
    if not (line and sign and reference):
        raise BadRequest(
            "request.bad_choice",
            f"{text[:60]!r} is no choice.",
            "Write LINE=REFERENCE, or LINE=none.",
        )
    return line, reference


def _not_empty(body: bytes) -> None:
    if not body:
        raise BadRequest("request.empty_file", "The file is empty.", "Send its bytes.")
