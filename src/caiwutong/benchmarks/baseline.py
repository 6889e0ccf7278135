"""The yardstick: pgbench's TPC-B on the same PostgreSQL, in a database of its own.

Scale 50, 32 clients, 2 threads, prepared statements: one small transaction per transfer, the way a
ledger is written without batches. It runs before and after each bench, so that ratios survive a
machine whose neighbours come and go.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg

from caiwutong.benchmarks.cpu import cpu_of_trees, per_piece
from caiwutong.benchmarks.results import Result
from caiwutong.engines import PostgresEngine
from caiwutong.engines.cluster import ENVIRONMENT
from caiwutong.kernel.errors import Broken

DATABASE = "bench_tpcb"
CLIENTS = 32
_DURABLE = ("fsync", "synchronous_commit", "full_page_writes")
_TPS = re.compile(r"tps = ([0-9.]+)")
_MEAN = re.compile(r"latency average = ([0-9.]+) ms")


async def shown_settings(url: str) -> dict[str, str]:
    """The server's version and its durability, as SHOW gives them. Raises Broken unless all of it
    is on: figures of a server that may lose data say nothing."""
    connection = await connect(url)
    try:
        found: dict[str, str] = {
            name: str(await connection.fetchval(f"SHOW {name}"))
            for name in ("server_version", *_DURABLE)
        }
    finally:
        await connection.close()
    loose = [name for name in _DURABLE if found[name] != "on"]
    if loose:
        raise Broken(
            "bench.not_durable",
            f"PostgreSQL runs with {', '.join(loose)} off.",
            "Measure on a server with its durable settings.",
        )
    return found


async def connect(url: str) -> Any:
    """A connection as the database's owner."""
    return cast(Any, await asyncpg.connect(url))


async def make_database(engine: PostgresEngine, name: str) -> str:
    """An empty database; its address."""
    connection = await connect(engine.url_of("postgres"))
    try:
        await connection.execute(f'CREATE DATABASE "{name}"')
    finally:
        await connection.close()
    return engine.url_of(name)


async def make(engine: PostgresEngine, scale: int) -> None:
    """Create and fill the TPC-B tables (about 15 MB a unit of scale)."""
    await make_database(engine, DATABASE)
    await _pgbench(engine, "-i", "-q", "-s", str(scale))


async def measure(engine: PostgresEngine, postgres_pid: int, seconds: float) -> Result:
    """One run of TPC-B, with what a transaction costs the server and pgbench."""
    roots = {"postgres": postgres_pid}
    before = cpu_of_trees(roots)
    out = await _pgbench(
        engine, "-c", str(CLIENTS), "-j", "2", "-M", "prepared", "-n", "-T",
        str(max(1, round(seconds))),
    )  # fmt: skip
    tps, mean = _TPS.search(out), _MEAN.search(out)
    if tps is None or mean is None:
        raise Broken("bench.pgbench", f"pgbench said: {out[-500:]}", "Read its words.")
    mean_ms, per_second = float(mean[1]), float(tps[1])
    cpu = per_piece(before, cpu_of_trees(roots), round(per_second * max(1, round(seconds))))
    return Result(
        name="pgbench TPC-B",
        value=per_second,
        unit="transactions",
        mean_ms=mean_ms,
        cpu_us={"postgres": cpu["postgres"], "pgbench": cpu["load generator"]},
    )


async def _pgbench(engine: PostgresEngine, *options: str) -> str:
    url = urlsplit(engine.url_of(DATABASE))
    where = parse_qs(url.query)
    environment = {
        **ENVIRONMENT,
        "PGHOST": where["host"][0],
        "PGPORT": where["port"][0],
        "PGUSER": url.username or "",
        "PGPASSWORD": unquote(url.password or ""),
        "PGDATABASE": DATABASE,
    }
    process = await asyncio.create_subprocess_exec(
        str(Path(engine.programs) / "pgbench"), *options, env=environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await process.communicate()
    text = out.decode(errors="replace")
    if process.returncode != 0:
        raise Broken("bench.pgbench", f"pgbench failed: {text[-500:]}", "Read its words.")
    return text
