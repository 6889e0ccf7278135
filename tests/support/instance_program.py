"""Run both engines of the data folder in ``argv[1]`` until told to stop: for tests that kill.

Says one line of JSON: the URLs, the children's process ids, and whom PostgreSQL runs as; or the
error that stopped it. ``CAIWUTONG_DATABASE_URL`` and ``CAIWUTONG_NATS_URL`` replace an engine.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from caiwutong.engines import Engines, until_told_to_stop
from caiwutong.kernel.errors import CaiwutongError


async def main() -> int:
    engines = Engines(
        Path(sys.argv[1]),
        os.environ.get("CAIWUTONG_DATABASE_URL"),
        os.environ.get("CAIWUTONG_NATS_URL"),
    )
    told = asyncio.create_task(until_told_to_stop())
    try:
        urls = await engines.start()
    except CaiwutongError as error:
        said = {
            "code": error.code,
            "detail": error.detail,
            "cure": error.cure,
            "facts": error.facts,
        }
        print(json.dumps(said), flush=True)
        return 3
    children = {health.name: health.pid for health in engines.supervisor.health()}
    said = {"database_url": urls.database_url, "nats_url": urls.nats_url, "children": children}
    print(json.dumps(said), flush=True)
    await told
    await engines.stop()
    print(json.dumps({"stopped": True}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
