"""``kill -9`` in the middle of an import: another process goes on, and no row is paid twice."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.imports.house import House, T

from caiwutong.db.postgres import PostgresDatabase
from caiwutong.imports.records import State
from caiwutong.imports.template import encode
from caiwutong.kernel.clock import SystemClock, SystemRandomness
from caiwutong.vault import Vault

PROGRAM = Path(__file__).with_name("killed_import.py")
ROOT = PROGRAM.parent.parent.parent
ROWS = 6_000


@pytest.mark.engine
@pytest.mark.parametrize("after", [500, 3_000])
async def test_killed_in_the_middle_the_import_goes_on_and_pays_each_row_once(
    after: int, database: PostgresDatabase, database_url: str, tmp_path: Path
) -> None:
    vault = Vault.at(tmp_path, SystemRandomness())
    house = await House(database, SystemClock(), vault).settle()
    import_id = await house.receive(encode(".csv", (house.row(i) for i in range(ROWS))))
    await house.imports.check(T, import_id)

    await asyncio.to_thread(_run_and_kill, [database_url, str(tmp_path), str(import_id)], after)

    half = await house.imports.get(T, import_id)
    paid = len(await house.paid())
    print(f"killed after {half.rows_done} rows told, {paid} taken in")
    assert half.state is State.APPLYING
    assert after <= half.rows_done <= paid < ROWS

    for _ in range(100):  # the dead runner's lease lasts a few seconds
        if done := await house.imports.resume(T):
            break
        await asyncio.sleep(0.1)
    else:
        pytest.fail("nobody found the import")
    (record,) = done
    assert (record.state, record.applied, record.not_applied) == (State.FINISHED, ROWS, 0)
    rows = await house.paid()
    assert len({row.key for row in rows}) == len(rows) == ROWS
    assert record.applied_fen == sum(row.amount_fen for row in rows) == await house.held_fen()


def _run_and_kill(arguments: list[str], after: int) -> None:
    """Run the program until it has told so many rows; then SIGKILL."""
    path = os.pathsep.join(str(ROOT / part) for part in (".", "src", "tests"))
    with subprocess.Popen(
        [sys.executable, str(PROGRAM), *arguments],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
        text=True,
    ) as process:
        assert process.stdout
        told = any(int(line) >= after for line in process.stdout)
        process.send_signal(signal.SIGKILL)
    assert told, "the process ended by itself"
