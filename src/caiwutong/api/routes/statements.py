"""The banks' statements: their lines as we read them, how our books explain each, and where book
and bank differ."""

from __future__ import annotations

from uuid import UUID

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from caiwutong.api.http import Who, reply
from caiwutong.api.paging import Cursor, Limit, Page, Paging
from caiwutong.api.services import Services
from caiwutong.statements.model import Drift, LineView


def statement_routes(house: Services, paging: Paging) -> list[HTTPRouteHandler]:
    """The handlers of statement lines and of reconciliation between book and bank."""
    views = house.statement_views

    @get("/v1/bank-accounts/{bank_account_id:uuid}/statement-lines")
    async def find_statement_lines(
        bank_account_id: FromPath[UUID], caller: Who, limit: Limit = 100, cursor: Cursor = None
    ) -> Response[Page[LineView]]:
        """An account's lines, newest first, each with what explains it."""
        name = f"lines/{bank_account_id}"
        place = paging.place(caller.tenant, name, cursor)
        page = await views.lines(
            caller.tenant,
            bank_account_id,
            before=None if place is None else int(place),
            limit=limit,
        )
        older = page.next_before
        after = None if older is None else paging.cursor(caller.tenant, name, str(older))
        return reply(Page(list(page.lines), after))

    @get("/v1/drifts")
    async def find_drifts(
        caller: Who, limit: Limit = 100, cursor: Cursor = None
    ) -> Response[Page[Drift]]:
        """Book beside statement for every account, and what explains the difference."""
        place = paging.id_after(caller.tenant, "drifts", cursor)
        page = await views.drifts(caller.tenant, after=place, limit=limit)
        last = page.next_after
        after = None if last is None else paging.cursor(caller.tenant, "drifts", str(last))
        return reply(Page(list(page.drifts), after))

    return [find_statement_lines, find_drifts]
