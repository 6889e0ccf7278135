"""Serves the API on one address until told to stop: uvicorn, without its own signal handling."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Generator

import uvicorn

from caiwutong.api.app import create_app
from caiwutong.api.lean import protocol_of
from caiwutong.api.services import Services

_GRACE_S = 5
_BACKLOG = 4096


class _Server(uvicorn.Server):
    """Signals belong to whoever runs this process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


async def serve_api(house: Services, stop: asyncio.Event) -> None:
    """Listen on the settings' host and port; when ``stop`` is set, answer what is under way and
    end. Raises ``SystemExit`` when the port is taken, as uvicorn does."""
    app = create_app(house)
    server = _Server(
        uvicorn.Config(
            app,  # pyright: ignore[reportArgumentType]
            host=house.settings.host,
            port=house.settings.port,
            http=protocol_of(app),
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            backlog=_BACKLOG,
            timeout_graceful_shutdown=_GRACE_S,
        )
    )
    serving = asyncio.create_task(server.serve())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    # Streams never end by themselves: close them first, so that the rest can be waited for.
    await app.close()
    server.should_exit = True
    stopping.cancel()
    await serving
