"""The sockets of the sandbox: one HTTP server on loopback, one process.

``POST /ibps``, ``/beps`` and ``/hvps`` are the front-end, ``POST /banks/{code}/direct`` is a bank's
direct interface, ``/admin/…`` the person's hand. An answer leaves only after everything it speaks
of has been committed. Broken lines (``wire.Fate``) are made here: a reset connection, 503, or no
answer ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from caiwutong.crypto.gm import Sm2PrivateKey, Sm2PublicKey
from caiwutong.kernel.clock import Clock
from caiwutong.kernel.errors import CaiwutongError, Refused
from caiwutong.rails.beps.codec import CODEC as BEPS
from caiwutong.rails.hvps.codec import CODEC as HVPS
from caiwutong.rails.ibps.codec import CODEC as IBPS
from caiwutong.sandbox.admin import Admin
from caiwutong.sandbox.beps import BepsDoor
from caiwutong.sandbox.beps_admin import BepsAdmin
from caiwutong.sandbox.beps_centre import BepsCentre
from caiwutong.sandbox.beps_notices import BepsNotices
from caiwutong.sandbox.doors import Speaker
from caiwutong.sandbox.faults import Faults, Plan
from caiwutong.sandbox.hvps import HvpsDoor
from caiwutong.sandbox.hvps_admin import HvpsAdmin
from caiwutong.sandbox.hvps_centre import HvpsCentre
from caiwutong.sandbox.hvps_notices import HvpsNotices
from caiwutong.sandbox.network import Network
from caiwutong.sandbox.notices import Notices
from caiwutong.sandbox.pushes import Pushes
from caiwutong.sandbox.recovery import recover
from caiwutong.sandbox.setup import (
    BEPS_PATH,
    CALLBACK_BEPS,
    CALLBACK_DIRECT,
    CALLBACK_HVPS,
    CALLBACK_IBPS,
    HVPS_PATH,
    IBPS_PATH,
    Prepared,
    free_port,
    prepare,
)
from caiwutong.sandbox.sponsor import Sponsor
from caiwutong.sandbox.sponsored import Sponsored
from caiwutong.sandbox.styles import STYLES
from caiwutong.sandbox.web_bank import WebAdmin, WebBank
from caiwutong.sandbox.wire import Fate, Reply

MAX_BODY = 32_000_000
_BLACKHOLE_S = 900
_log = logging.getLogger("caiwutong.sandbox")


class Sandbox:
    """Everything wired together; ``start`` opens the port, ``stop`` closes it with clean books."""

    def __init__(
        self,
        prepared: Prepared,
        clock: Clock,
        plan: Plan,
        *,
        hub_url: str = "",
        host: str = "127.0.0.1",
        port: int,
        netting_s: float = 2.0,
        clearing_s: float = 600.0,
        beps_round_s: float = 0.0,
    ) -> None:
        """``beps_round_s``: business seconds between rounds of BEPS; 0: the catalog's."""
        self.clock = clock
        self.host, self.port = host, port
        self.network = Network(
            prepared.folder,
            prepared.world,
            clock,
            Faults(plan),
            netting_s=netting_s,
            clearing_s=clearing_s,
        )
        self.pushes = Pushes(self.network.centre, self.network.commits, hub_url)
        keys = prepared.keys
        centre_key = Sm2PrivateKey.from_hex(keys.centre_secret)
        participant = Sm2PrivateKey.from_hex(keys.participant_secret).public
        sponsored = Sponsored(self.network)
        speaker = Speaker(self.network, centre_key, prepared.world.sponsor, IBPS)
        self.notices = Notices(self.network, speaker, self.pushes, CALLBACK_IBPS)
        self.sponsor = Sponsor(self.network, sponsored, speaker, participant, self.notices.push)
        self.beps_centre = BepsCentre(self.network, round_s=beps_round_s)
        self._open_beps(prepared, sponsored, centre_key, participant)
        self._open_hvps(prepared, sponsored, centre_key, participant)
        for tick in (self.beps_centre.tick, self.beps_notices.tick, self.hvps_centre.tick):
            self.network.timers.every_tick(tick)
        self.direct = {
            code: STYLES[prepared.world.bank(code).style].bank(
                self.network, code, link, self.pushes, CALLBACK_DIRECT + code
            )
            for code, link in keys.links.items()
        }
        self.web = {
            bank.code: WebBank(self.network, bank.code, bank.template)
            for bank in prepared.world.banks
            if bank.protocol == "bank_file"
        }
        self.network.fronts += [
            self.notices,
            self.beps_centre,
            self.beps_notices,
            self.hvps_notices,
            *self.direct.values(),
        ]
        self.admin = Admin(
            self.network,
            sponsored,
            self.direct,
            self.pushes,
            prepared.admin_token,
            self._pause,
            BepsAdmin(self.beps_centre, self.beps_notices).routes
            | HvpsAdmin(self.hvps_centre, self.hvps_notices).routes
            | WebAdmin(self.web).routes,
        )
        self._runner: web.ServerRunner | None = None
        self._site: web.TCPSite | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def _open_beps(
        self,
        prepared: Prepared,
        sponsored: Sponsored,
        centre_key: Sm2PrivateKey,
        participant: Sm2PublicKey,
    ) -> None:
        speaker = Speaker(self.network, centre_key, prepared.world.sponsor, BEPS)
        self.beps_notices = BepsNotices(self.beps_centre, speaker, self.pushes, CALLBACK_BEPS)
        self.beps = BepsDoor(
            self.beps_centre, sponsored, speaker, participant, self.beps_notices.push
        )

    def _open_hvps(
        self,
        prepared: Prepared,
        sponsored: Sponsored,
        centre_key: Sm2PrivateKey,
        participant: Sm2PublicKey,
    ) -> None:
        self.hvps_centre = HvpsCentre(self.network)
        speaker = Speaker(self.network, centre_key, prepared.world.sponsor, HVPS)
        self.hvps_notices = HvpsNotices(self.hvps_centre, speaker, self.pushes, CALLBACK_HVPS)
        self.hvps = HvpsDoor(
            self.hvps_centre, sponsored, speaker, participant, self.hvps_notices.push
        )

    async def start(self) -> None:
        """Finish what a killed process left, then open the port."""
        self.network.open_books()
        recover(self.network)
        for bank in self.direct.values():
            bank.recover()
        server = web.Server(self._serve, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=1.0)
        await self._runner.setup()
        await self._listen()
        await self.pushes.start()
        self._tasks.append(asyncio.create_task(self.network.timers.run()))

    async def _listen(self) -> None:
        assert self._runner is not None
        self._site = web.TCPSite(self._runner, self.host, self.port, backlog=1024)
        await self._site.start()

    async def stop(self) -> None:
        """Close the port and the books."""
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._tasks.clear()
        if self._runner is not None:
            await self._runner.cleanup()
        await self.pushes.stop()
        self.network.close()

    # -- requests

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        try:
            body = await _body(request)
            if path.startswith("/admin/"):
                return await self._serve_admin(request, body)
            reply = self._reply(request.method, path, body)
            await self.network.commits.durable()
        except CaiwutongError as error:
            return _json(
                {"code": error.code, "detail": error.detail, "cure": error.cure}, error.status
            )
        if reply is None:
            return _json({"code": "sandbox.no_such_path", "detail": f"No {path[:80]}."}, 404)
        return await self._travel(request, reply)

    def _reply(self, method: str, path: str, body: bytes) -> Reply | None:
        if method == "POST" and path == IBPS_PATH:
            return self.sponsor.handle(body)
        if method == "POST" and path == BEPS_PATH:
            return self.beps.handle(body)
        if method == "POST" and path == HVPS_PATH:
            return self.hvps.handle(body)
        code = path.removeprefix("/banks/").removesuffix("/direct")
        if method == "POST" and code in self.direct:
            return self.direct[code].handle(body)
        return None

    async def _travel(self, request: web.BaseRequest, reply: Reply) -> web.StreamResponse:
        """Let the reply go, late or broken as its fate has it."""
        if reply.delay_s:
            await self.network.timers.sleep(reply.delay_s)
        if reply.fate is Fate.BLACKHOLE:
            await _until_gone(request)
        if reply.fate in (Fate.RESET, Fate.BLACKHOLE):
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)
        if reply.fate is Fate.UNAVAILABLE:
            return web.Response(status=503)
        return web.Response(
            body=reply.body, status=reply.status, content_type="application/octet-stream"
        )

    def _pause(self, seconds: float) -> None:
        """Close the door for so many real seconds: connections are refused, open ones are cut."""
        self._tasks.append(asyncio.create_task(self._closed_for(seconds)))

    async def _closed_for(self, seconds: float) -> None:
        await asyncio.sleep(0.05)  # let the answer to the wish out first
        assert self._runner is not None and self._site is not None
        await self._site.stop()
        assert self._runner.server is not None
        for connection in self._runner.server.connections:
            if connection.transport is not None:
                connection.transport.abort()
        await asyncio.sleep(seconds)
        await self._listen()

    async def _serve_admin(self, request: web.BaseRequest, body: bytes) -> web.StreamResponse:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        answer = self.admin.handle(request.method, request.path, request.query, token, body)
        await self.network.commits.durable()
        return _json(answer)


async def _body(request: web.BaseRequest) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.content.iter_any():
        size += len(chunk)
        if size > MAX_BODY:
            raise Refused("sandbox.too_large", f"More than {MAX_BODY:,} bytes at once.")
        chunks.append(chunk)
    return b"".join(chunks)


async def _until_gone(request: web.BaseRequest) -> None:
    for _ in range(_BLACKHOLE_S * 10):
        if request.transport is None or request.transport.is_closing():
            return
        await asyncio.sleep(0.1)


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(value), status=status, content_type="application/json"
    )


def open_sandbox(
    folder: Path,
    *,
    clock: Clock,
    plan: Plan,
    port: int,
    hub_url: str = "",
    seed: int = 1,
    netting_s: float = 2.0,
    clearing_s: float = 600.0,
    beps_round_s: float = 0.0,
) -> Sandbox:
    """A sandbox on this folder, prepared where needed, not yet started. ``port`` 0 takes a free one
    below 32768."""
    port = port or free_port()
    prepared = prepare(folder, port=port, clock=clock, seed=seed)
    return Sandbox(
        prepared,
        clock,
        plan,
        hub_url=hub_url,
        port=port,
        netting_s=netting_s,
        clearing_s=clearing_s,
        beps_round_s=beps_round_s,
    )
