"""The person of the demo who carries bank files to the sandbox's web page and back.

``caiwutong demo`` plays it; nothing else does. In a real house, and in ``caiwutong up``, a file
waits until somebody uploads it.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID

from caiwutong.bank_files.model import FileState, FileView
from caiwutong.kernel.clock import china_date
from caiwutong.rails.contract import CARRIED_BY_PEOPLE
from caiwutong.sandbox.client import SandboxClient
from caiwutong.wiring import Services

ACTOR = "person:demo-carrier"
_ALL = 1_000
_NIGHT_S = 0.5
"""Real seconds in which the sandbox notices that a day is over."""


class Carrier:
    """Carries every bank file once, and everything the bank's page says back."""

    def __init__(self, services: Services, client: SandboxClient) -> None:
        self._services = services
        self._tenant = services.settings.tenant
        self._desk = services.bank_files
        self._client = client
        self._uploads: dict[UUID, int] = {}

    async def upload_all(self) -> int:
        """Export and upload every file that waits to be carried; how many."""
        waiting = await self._desk.views.page(
            self._tenant, states=[FileState.OPEN, FileState.CLOSED], limit=_ALL
        )
        for file in reversed(waiting):
            made = await self._desk.files.export(self._tenant, file.file_id, ACTOR)
            done = await asyncio.to_thread(
                self._client.web_upload, made.file_name, made.content, await self._bank(file)
            )
            self._uploads[file.file_id] = int(done["batch"])
        return len(waiting)

    async def bring_back(self) -> None:
        """Hand in everything the bank's page says: results, then statements."""
        # After a jump of the clock the bank first closes the days that are over.
        await asyncio.sleep(_NIGHT_S)
        await self.bring_results()
        await self.bring_statements()

    async def bring_results(self) -> None:
        """Hand in what the page says now of every file that is not done."""
        waiting = await self._desk.views.page(self._tenant, states=[FileState.EXPORTED], limit=_ALL)
        for file in reversed(waiting):
            batch = self._uploads.get(file.file_id)
            if batch is None:
                continue
            said = await asyncio.to_thread(self._client.web_result, batch, await self._bank(file))
            await self._desk.results.take(
                self._tenant, file.file_id, said.content, file_name=said.file_name, actor=ACTOR
            )

    async def bring_statements(self) -> None:
        """Hand in the statement of every account without a link, whole up to yesterday."""
        yesterday = china_date(self._services.clock.now()) - timedelta(days=1)
        for rail in sorted(CARRIED_BY_PEOPLE):
            async with self._services.database.transaction() as tx:
                accounts = await self._services.bank_accounts.all_for_rail(tx, self._tenant, rail)
            for account in accounts:
                said = await asyncio.to_thread(self._client.web_statement, account.account)
                await self._desk.statement_files.take(
                    self._tenant,
                    account.bank_account_id,
                    said.content,
                    actor=ACTOR,
                    complete_to=yesterday,
                )

    async def _bank(self, file: FileView) -> str:
        async with self._services.database.transaction() as tx:
            account = await self._services.bank_accounts.get(tx, self._tenant, file.bank_account_id)
        return account.bank_code
