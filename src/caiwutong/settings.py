"""What an operator may set, read once from the environment and the command line.

Every setting has a default that works on a laptop. Secrets are never settings: they live in files
of the data folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path

import msgspec

from caiwutong.kernel.errors import Refused

ENV = "CAIWUTONG_"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Where this installation keeps its things and where it listens."""

    data_dir: Path
    """Databases, keys, logs, audit heads: everything that must be backed up."""
    host: str = "127.0.0.1"
    """Loopback only, until TLS comes: plain HTTP is refused for any other address."""
    port: int = 8080
    database_url: str | None = None
    """An outside PostgreSQL (16 or newer) instead of the embedded one."""
    nats_url: str | None = None
    """An outside NATS with JetStream instead of the embedded one."""
    tenant: str = "demo"
    """The tenant whose bank connections this installation holds."""
    webhook_networks: tuple[str, ...] = ()
    """Networks of your own that webhooks may reach, as CIDR (``10.0.0.0/8``). Without them only
    public addresses are called; ``127.0.0.0/8`` here allows this machine itself."""

    worker_nice: int = 15
    """How far workers (and the sandbox) stand back for the API when the cores are crowded, 0 to 19:
    an order is answered first, and what waits is sent as soon as the rush is over."""

    longest_queue: int = 8_192
    """So many payment requests of one tenant may wait in memory; more are told to come later."""
    longest_backlog: int = 500_000
    """With so many payments due and not yet sent, new ones are told to come later; urgent ones at
    twice as many."""

    @property
    def key_dir(self) -> Path:
        """The vault's key file."""
        return self.data_dir / "keys"

    @property
    def heads_dir(self) -> Path:
        """Signed audit heads, outside the database."""
        return self.data_dir / "audit"

    @property
    def sandbox_dir(self) -> Path:
        """World, keys and books of the sandbox network."""
        return self.data_dir / "sandbox"

    @property
    def clock_file(self) -> Path:
        """The clock hub and sandbox share; without the file it is the machine's own time."""
        return self.data_dir / "clock.json"

    @property
    def connections_file(self) -> Path:
        """Addresses and keys of the rails. The demo's come from the sandbox."""
        own = self.data_dir / "connections.json"
        return own if own.exists() else self.sandbox_dir / "connections.json"

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"


def from_environment(env: Mapping[str, str], **overrides: object) -> Settings:
    """Settings from ``CAIWUTONG_*`` and explicit overrides (None: not given). Raises Refused."""
    given: dict[str, object] = {
        "data_dir": Path(env.get(f"{ENV}DATA_DIR", "data")),
        "host": env.get(f"{ENV}HOST", "127.0.0.1"),
        "port": _port(env.get(f"{ENV}PORT", "8080")),
        "database_url": env.get(f"{ENV}DATABASE_URL") or None,
        "nats_url": env.get(f"{ENV}NATS_URL") or None,
        "tenant": env.get(f"{ENV}TENANT", "demo"),
        "worker_nice": _nice(env.get(f"{ENV}WORKER_NICE", "15")),
        "longest_queue": _count(env, "LONGEST_QUEUE", 8_192),
        "longest_backlog": _count(env, "LONGEST_BACKLOG", 500_000),
        "webhook_networks": _networks(env.get(f"{ENV}WEBHOOK_NETWORKS", "")),
    }
    given |= {name: value for name, value in overrides.items() if value is not None}
    settings = msgspec.convert(given, Settings, dec_hook=_path, strict=False)
    if settings.host not in {"127.0.0.1", "::1", "localhost"}:
        raise Refused(
            "settings.not_loopback",
            f"Plain HTTP is not served on {settings.host}.",
            "Listen on 127.0.0.1 and put a TLS terminator in front.",
        )
    return settings


def _networks(text: str) -> tuple[str, ...]:
    named = tuple(part.strip() for part in text.split(",") if part.strip())
    for network in named:
        try:
            ip_network(network)
        except ValueError:
            raise Refused(
                "settings.bad_network",
                f"{network[:50]!r} is not a network.",
                "Set CAIWUTONG_WEBHOOK_NETWORKS to CIDRs separated by commas: 10.0.0.0/8.",
            ) from None
    return named


def _nice(text: str) -> int:
    if not text.isdigit() or int(text) > 19:
        raise Refused(
            "settings.bad_nice",
            f"{text[:16]!r} is no niceness.",
            "Set CAIWUTONG_WORKER_NICE to a number from 0 to 19.",
        )
    return int(text)


def _count(env: Mapping[str, str], name: str, default: int) -> int:
    text = env.get(f"{ENV}{name}", str(default))
    if not text.isdigit() or not 0 < int(text) <= 10**9:
        raise Refused(
            "settings.bad_count",
            f"{text[:16]!r} is no count for {ENV}{name}.",
            "Set it to a whole number from 1 on.",
        )
    return int(text)


def _port(text: str) -> int:
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise Refused(
            "settings.bad_port",
            f"{text[:16]!r} is not a port.",
            "Set CAIWUTONG_PORT to a number from 1024 to 32767.",
        )
    return int(text)


def _path(kind: type, value: object) -> object:
    if kind is Path and isinstance(value, str):
        return Path(value)
    return value
