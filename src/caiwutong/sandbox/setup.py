"""What must lie in the sandbox's folder before it can open, written once and kept between runs.

- ``world.json``: who exists (``world.World``); a hub is seeded from it.
- ``keys.json``: every secret of both sides: SM2 keys of the centre, of each direct bank and of the
  hub, and the SM4 keys they share.
- ``connections.json``: what the hub needs to speak: addresses, codes, its own keys, the banks'.
- ``admin.token``: who may make the sandbox misbehave.
- ``bank-*.db`` and ``centre.db``: the books.

All of it is made up and worth nothing outside the sandbox; the files are private all the same.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
from pathlib import Path
from typing import Any

import msgspec

from caiwutong.crypto.gm import Sm2PrivateKey
from caiwutong.kernel.clock import Clock, Randomness, SystemRandomness
from caiwutong.sandbox.faults import Faults, Plan
from caiwutong.sandbox.links import LinkKeys
from caiwutong.sandbox.network import Network
from caiwutong.sandbox.styles import STYLES
from caiwutong.sandbox.world import World, demo_world, load_world, save_world

IBPS_PATH = "/ibps"
BEPS_PATH = "/beps"
HVPS_PATH = "/hvps"
CALLBACK_IBPS = "/v1/rails/ibps/messages"
CALLBACK_BEPS = "/v1/rails/beps/messages"
CALLBACK_HVPS = "/v1/rails/hvps/messages"
"""Where the hub takes what the centre pushes."""
CALLBACK_DIRECT = "/callbacks/bank_direct/"
"""Where the hub takes the notices of the direct banks, before the name of the connection."""


class KeyFile(msgspec.Struct, frozen=True):
    """``keys.json``."""

    centre_secret: str
    participant_secret: str
    """The front-end's SM2 private key, held by the hub."""
    links: dict[str, LinkKeys]
    """By 联行号 of the bank."""

    def __repr__(self) -> str:
        return f"KeyFile({len(self.links)} links)"


class Prepared(msgspec.Struct, frozen=True):
    """Everything the sandbox opens with."""

    folder: Path
    world: World
    keys: KeyFile
    admin_token: str

    def __repr__(self) -> str:
        return f"Prepared({self.folder})"


def prepare(
    folder: Path,
    *,
    port: int,
    clock: Clock,
    seed: int = 1,
    host: str = "127.0.0.1",
    randomness: Randomness | None = None,
) -> Prepared:
    """Make what is missing in ``folder`` and write ``connections.json`` for this port. Calling it
    again keeps world, keys, token and books. ``seed`` counts only the first time."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    chance = randomness or SystemRandomness()
    world_file = folder / "world.json"
    if not world_file.exists():
        save_world(demo_world(seed), world_file)
    world = load_world(world_file)
    keys = _keys(folder / "keys.json", world, chance)
    token_file = folder / "admin.token"
    if not token_file.exists():
        _private(token_file, chance.bytes(24).hex().encode())
    write_connections(folder, world, keys, f"http://{host}:{port}")
    if not (folder / "centre.db").exists():
        network = Network(folder, world, clock, Faults(Plan()))
        network.open_books()
        network.close()
    return Prepared(folder, world, keys, token_file.read_text().strip())


def write_connections(folder: Path, world: World, keys: KeyFile, base_url: str) -> None:
    """Write ``connections.json`` for a sandbox that listens at this address."""
    content = msgspec.json.encode(connections(world, keys, base_url))
    _private(folder / "connections.json", msgspec.json.format(content, indent=1))


def free_port(host: str = "127.0.0.1") -> int:
    """A port that was free a moment ago, below 32768 where no system hands out its own."""
    while True:
        port = random.randrange(18_000, 32_000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind((host, port))
                return port


def connections(world: World, keys: KeyFile, base_url: str) -> dict[str, Any]:
    """What the hub needs, under ``ibps``, ``beps`` and ``hvps`` (one connection each, of the
    same sponsor), ``bank_direct`` (one per bank) and ``bank_file`` (the template of each web
    page)."""
    centre = Sm2PrivateKey.from_hex(keys.centre_secret)
    sponsored = {
        "url": base_url,
        "sponsor": world.sponsor,
        "centre": world.centre,
        "bank_code": world.sponsor,
        "signing_key": keys.participant_secret,
        "centre_key": centre.public.to_hex(),
    }
    return {
        "ibps": sponsored,
        "beps": sponsored,
        "hvps": sponsored,
        "bank_file": [
            {"bank": bank.code, "template": bank.template}
            for bank in world.banks
            if bank.protocol == "bank_file"
        ],
        "bank_direct": [
            {
                "style": world.bank(code).style,
                "name": code,
                "url": f"{base_url}/banks/{code}/direct",
                "bank_codes": [code],
                **STYLES[world.bank(code).style].entry(link),
            }
            for code, link in keys.links.items()
        ],
    }


def _keys(path: Path, world: World, chance: Randomness) -> KeyFile:
    if not path.exists():
        direct = [bank for bank in world.banks if bank.protocol == "bank_direct"]
        links = {
            bank.code: LinkKeys(
                user_id=f"N{bank.code[:3]}{number:06d}",
                bank_secret=Sm2PrivateKey.generate(chance).to_hex(),
                hub_secret=Sm2PrivateKey.generate(chance).to_hex(),
                sm4=chance.bytes(16).hex(),
                password=chance.bytes(12).hex(),
            )
            for number, bank in enumerate(direct, 1)
        }
        made = KeyFile(
            centre_secret=Sm2PrivateKey.generate(chance).to_hex(),
            participant_secret=Sm2PrivateKey.generate(chance).to_hex(),
            links=links,
        )
        _private(path, msgspec.json.format(msgspec.json.encode(made), indent=1))
    return msgspec.json.decode(path.read_bytes(), type=KeyFile)


def _private(path: Path, content: bytes) -> None:
    """Write the file whole, readable by its owner only."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    draft.replace(path)
