"""A sandbox on a free port, and a hub of cardboard that speaks to it over real sockets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from caiwutong.crypto.gm import Sm2PrivateKey, Sm2PublicKey
from caiwutong.kernel.clock import ManualClock
from caiwutong.rails.cnaps.signing import PeerKey
from caiwutong.rails.contract import AccountAtBank
from caiwutong.rails.ibps import codec
from caiwutong.rails.ibps import messages as m
from caiwutong.sandbox.faults import Plan, Rule
from caiwutong.sandbox.server import Sandbox, open_sandbox
from caiwutong.sandbox.setup import CALLBACK_DIRECT, CALLBACK_IBPS, free_port
from caiwutong.sandbox.world import OwnAccount, Payee, World, load_world

MORNING = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
"""A Monday, ten o'clock in China."""


class CardboardHub:
    """Signs and posts what a hub would, and keeps everything that is pushed to it."""

    def __init__(self, folder: Path, clock: ManualClock) -> None:
        self.folder = folder
        self.clock = clock
        self.frames: list[m.Frame] = []
        self.bad: list[str] = []
        self.notices: list[tuple[str, bytes]] = []
        self.posts: list[tuple[str, bytes]] = []
        """Everything taken, as it came, with its path."""
        self.refusing: Callable[[bytes], int] = lambda body: 0
        """The HTTP status to refuse this body with, or 0 to take it."""
        self._count = 0
        self._session: aiohttp.ClientSession | None = None
        self.port = free_port()
        self.world: World = load_world(folder / "world.json")
        self.connections: dict[str, Any] = msgspec.json.decode(
            (folder / "connections.json").read_bytes()
        )
        ibps = self.connections["ibps"]
        self._key = Sm2PrivateKey.from_hex(ibps["signing_key"])
        self.verifier = PeerKey(Sm2PublicKey.from_hex(ibps["centre_key"]))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        # A connection of its own for each request: one kept from before a restart is dead.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=True, limit=0),
            timeout=aiohttp.ClientTimeout(total=5),
        )
        self._runner = web.ServerRunner(web.Server(self._take, access_log=None))
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def stop(self) -> None:
        await self._runner.cleanup()
        if self._session:
            await self._session.close()

    async def _take(self, request: web.BaseRequest) -> web.Response:
        body = await request.read()
        if status := self.refusing(body):
            return web.Response(status=status)
        self.posts.append((request.path, body))
        if request.path == CALLBACK_IBPS:
            try:
                self.frames += codec.decode_frames(body, self.verifier)
            except Exception as error:
                self.bad.append(str(error))
                return web.Response(status=400)
        elif request.path.startswith(CALLBACK_DIRECT):
            self.notices.append((request.path, body))
        return web.Response(status=204)

    # -- speaking IBPS

    def reference(self) -> str:
        self._count += 1
        return f"20261123TEST{self._count:08d}"

    def transfer(
        self, payer: OwnAccount, payee: Payee | OwnAccount, amount_fen: int
    ) -> m.CreditTransfer:
        return m.CreditTransfer(
            amount_fen=amount_fen,
            payer=AccountAtBank(payer.name, payer.account, payer.bank_code, payer.bank_name),
            payee=AccountAtBank(payee.name, payee.account, payee.bank_code, payee.bank_name),
            remark="货款",
        )

    def encode(self, message: m.Message, reference: str, *, at: datetime | None = None) -> bytes:
        ibps = self.connections["ibps"]
        return codec.encode(
            message,
            sender=ibps["sponsor"],
            receiver=ibps["centre"],
            signer=self._key,
            at=at or self.clock.now(),
            message_id=reference,
        )

    async def post(self, raw: bytes) -> list[m.Frame]:
        assert self._session
        url = self.connections["ibps"]["url"] + "/ibps"
        async with self._session.post(url, data=raw) as answer:
            body = await answer.read()
            if answer.status != 200:
                raise aiohttp.ClientResponseError(
                    answer.request_info, (), status=answer.status, message=body.decode()
                )
            return codec.decode_frames(body, self.verifier)

    async def say(self, message: m.Message, reference: str = "") -> m.Message:
        frames = await self.post(self.encode(message, reference or self.reference()))
        assert len(frames) == 1
        return frames[0].message

    async def enquire(self, reference: str) -> m.EnquiryAnswer:
        original = m.Original(reference, self.connections["ibps"]["sponsor"], "ibps.101.001.01")
        answer = await self.say(m.Enquiry(original))
        assert isinstance(answer, m.EnquiryAnswer)
        return answer

    def original(self, reference: str) -> m.Original:
        return m.Original(reference, self.connections["ibps"]["sponsor"], "ibps.101.001.01")

    async def admin(self, method: str, path: str, body: Any = None) -> Any:
        assert self._session
        base = self.connections["ibps"]["url"]
        token = (self.folder / "admin.token").read_text()
        async with self._session.request(
            method,
            f"{base}/admin/{path}",
            data=None if body is None else msgspec.json.encode(body),
            headers={"Authorization": f"Bearer {token}"},
        ) as answer:
            value = await answer.json()
            assert answer.status == 200, value
            return value

    # -- what was pushed

    def pushed(self, kind: type, reference: str = "") -> list[Any]:
        found: list[Any] = []
        for frame in self.frames:
            message = frame.message
            if not isinstance(message, kind):
                continue
            about = (
                {each.message_id for each in message.payments}
                if isinstance(message, (m.NettingNotice, m.ClearingNotice))
                else {getattr(getattr(message, "original", None), "message_id", "")}
            )
            if not reference or reference in about:
                found.append(message)
        return found


async def until(true: Callable[[], Any], seconds: float = 5.0) -> None:
    """Wait until something holds; fail after so many real seconds."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come true in time"
        await asyncio.sleep(0.01)


class Stage:
    """A sandbox and a hub facing each other, with a clock in the test's hand."""

    def __init__(self, sandbox: Sandbox, hub: CardboardHub, clock: ManualClock) -> None:
        self.sandbox = sandbox
        self.hub = hub
        self.clock = clock
        self.world = hub.world
        self.payer = next(a for a in self.world.accounts if "ibps" in a.access_modes)

    def payee(self, condition: str = "ok", bank: str = "") -> Payee:
        return next(
            p
            for p in self.world.payees
            if p.condition == condition and (not bank or p.bank_code == bank)
        )

    async def pay(self, amount_fen: int = 100_00, payee: Payee | None = None) -> str:
        """Pay over IBPS; the reference. The answer, if one comes, is in ``last``."""
        reference = self.hub.reference()
        self.last = await self.hub.say(
            self.hub.transfer(self.payer, payee or self.payee(), amount_fen), reference
        )
        return reference


@asynccontextmanager
async def stage(
    folder: Path, *rules: Rule, seed: int = 1, clock: ManualClock | None = None
) -> AsyncIterator[Stage]:
    clock = clock or ManualClock(MORNING)
    sandbox = open_sandbox(folder, clock=clock, plan=Plan(seed, "test", rules), port=0)
    hub = CardboardHub(folder, clock)
    sandbox.pushes.hub_url = hub.url
    await hub.start()
    await sandbox.start()
    try:
        yield Stage(sandbox, hub, clock)
    finally:
        await sandbox.stop()
        await hub.stop()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "sandbox"
