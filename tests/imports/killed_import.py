"""A process that applies an import until somebody kills it. Run by ``test_killed.py``.

Arguments: database URL, vault folder, import id. It prints each progress as ``rows_done``.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from uuid import UUID

from tests.imports.house import House, T

from caiwutong.db.postgres import PostgresDatabase
from caiwutong.kernel.clock import SystemClock, SystemRandomness
from caiwutong.vault import Vault


async def main(url: str, folder: str, import_id: str) -> None:
    database = await PostgresDatabase.connect(url, name="killed")
    house = House(database, SystemClock(), Vault.at(Path(folder), SystemRandomness()))
    await house.imports.apply(T, UUID(import_id), hear=lambda p: print(p.rows_done, flush=True))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
