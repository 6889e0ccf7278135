"""The short way in for single orders says the same, byte for byte, as the long way does."""

from __future__ import annotations

import asyncio
import re
import time
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from caiwutong.api.gate import Gate
from caiwutong.api.server import serve_api
from caiwutong.engines.home import free_port
from caiwutong.identity.http_signatures import sign
from support.wired import House, open_house

pytestmark = pytest.mark.engine

Fields = dict[str, str]


@dataclass
class Said:
    """One answer from the wire."""

    status: int
    headers: Fields
    body: Any


@dataclass
class Server:
    """A served house and raw connections to it."""

    house: House
    begun: list[bool] = field(default_factory=list)
    """Per order that tried the short way: whether it went it."""

    def request(
        self, key: str, body: bytes | None = None, change: Callable[[Fields], None] | None = None
    ) -> bytes:
        """A signed POST /v1/payments; ``change`` may spoil its fields."""
        body = msgspec.json.encode(self.house.order()) if body is None else body
        api_key = self.house.secrets
        fields = {
            "Host": "hub",
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            **sign(
                urlsafe_b64decode(api_key.secret + "="), api_key.api_key.key_id, method="POST",
                path="/v1/payments", body=body, idempotency_key=key, created=int(time.time()),
            ),
        }  # fmt: skip
        if change is not None:
            change(fields)
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return f"POST /v1/payments HTTP/1.1\r\n{head}\r\n".encode() + body

    async def say(self, *parts: bytes, answers: int = 1) -> list[Said]:
        """Send bytes on a connection of their own and read so many answers."""
        settings = self.house.services.settings
        reader, writer = await asyncio.open_connection(settings.host, settings.port)
        try:
            async with asyncio.timeout(10):
                for part in parts:
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(0.02 if len(parts) > 1 else 0)
                return [await _read(reader) for _ in range(answers)]
        finally:
            writer.close()

    async def one(self, *parts: bytes) -> Said:
        return (await self.say(*parts))[0]


async def _read(reader: asyncio.StreamReader) -> Said:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head.strip().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    body = await reader.readexactly(int(headers["content-length"]))
    return Said(int(first.split()[1]), headers, msgspec.json.decode(body))


@pytest.fixture
async def server(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Server]:
    house = await open_house(database_url, tmp_path)
    house.services.settings = msgspec.structs.replace(house.services.settings, port=free_port(0))
    served = Server(house)
    begin = Gate.begin

    def noted(gate: Gate, scope: Any, body: bytes) -> Any:
        served.begun.append(False)
        done = begin(gate, scope, body)
        served.begun[-1] = done is not None
        return done

    monkeypatch.setattr(Gate, "begin", noted)
    stop = asyncio.Event()
    serving = asyncio.ensure_future(serve_api(house.services, stop))
    async with asyncio.timeout(20):
        while True:
            try:
                await served.one(served.request("warm"))  # From here on the key is kept.
                break
            except OSError:
                await asyncio.sleep(0.05)
    served.begun.clear()
    yield served
    stop.set()
    await serving
    await house.services.database.close()


async def test_a_plain_order_takes_the_short_way(server: Server):
    said = await server.one(server.request("k-1"))
    assert (said.status, said.body["state"], said.body["replayed"]) == (202, "validated", False)
    assert said.headers["location"] == f"/v1/payments/{said.body['id']}"
    assert server.begun == [True]


async def test_a_key_that_is_not_kept_takes_the_long_way_once(server: Server):
    server.house.services.authenticator.forget()
    assert (await server.one(server.request("k-1"))).status == 202
    assert (await server.one(server.request("k-2"))).status == 202
    assert server.begun == [False, True]


def _drop(name: str) -> Callable[[Fields], None]:
    return lambda fields: fields.pop(name) and None


def _put(name: str, value: str) -> Callable[[Fields], None]:
    return lambda fields: fields.update({name: value})


_OTHER = b'{"bank_account_id":"00000000-0000-0000-0000-000000000000"}'
_CASES: dict[str, tuple[bytes | None, Callable[[Fields], None] | None, int]] = {
    "a good order": (None, None, 202),
    "not JSON": (b"{", None, 400),
    "fields missing": (_OTHER, None, 400),
    "a NUL character": (b'{"purpose":"\\u0000"}', None, 400),
    "another content type": (None, _put("Content-Type", "text/plain"), 415),
    "a signature of somebody else": (None, _put("Signature", f"sig1=:{'A' * 43}=:"), 401),
    "a signature nobody understands": (None, _put("Signature-Input", "what?"), 401),
    "another digest": (None, _put("Content-Digest", "sha-256=:AAAA:"), 401),
    "no idempotency key": (None, _drop("Idempotency-Key"), 401),
    "no proof at all": (None, _drop("Signature-Input"), 401),
}


@pytest.mark.parametrize("case", _CASES)
async def test_both_ways_say_the_same(server: Server, case: str):
    body, change, status = _CASES[case]
    request = server.request("k-1", body, change)
    short = await server.one(request)
    tried = len(server.begun)
    # An empty query is none, but it is not written like that by a plain caller.
    long = await server.one(request.replace(b"/v1/payments ", b"/v1/payments? ", 1))
    assert len(server.begun) == tried == 1
    assert (short.status, long.status) == (status, status)
    assert {**short.headers, "date": ""} == {**long.headers, "date": ""} | _own_length(short)
    assert {**short.body, "replayed": 0} == {**long.body, "replayed": 0}


def _own_length(said: Said) -> Fields:
    """``replayed`` is true the second time: one letter less."""
    return {"content-length": said.headers["content-length"]}


async def test_a_header_that_stands_twice_is_refused(server: Server):
    twice = server.request("k-1").replace(b"\r\n\r\n", b"\r\nSignature: x\r\n\r\n", 1)
    said = await server.one(twice)
    assert (said.status, said.body["code"]) == (400, "request.repeated_header")


async def test_a_body_may_come_in_pieces(server: Server):
    request = server.request("k-1")
    said = await server.one(request[:40], request[40:-9], request[-9:])
    assert said.status == 202 and server.begun == [True]


async def test_pipelined_orders_are_answered_in_their_order(server: Server):
    said = await server.say(b"".join(server.request(f"k-{n}") for n in range(4)), answers=4)
    again = [await server.one(server.request(f"k-{n}")) for n in range(4)]
    assert [each.body["id"] for each in said] == [each.body["id"] for each in again]
    assert len({each.body["id"] for each in said}) == 4


async def test_two_lengths_are_no_plain_order(server: Server):
    request = server.request("k-1")
    doubled = re.sub(rb"(Content-Length: \d+\r\n)", rb"\1\1", request)
    settings = server.house.services.settings
    reader, writer = await asyncio.open_connection(settings.host, settings.port)
    writer.write(doubled)
    first = await asyncio.wait_for(reader.readline(), 10)
    writer.close()
    assert first.startswith(b"HTTP/1.1 400")
    assert server.begun == []


async def test_the_connection_closes_when_the_client_wants_it(server: Server):
    said = await server.one(server.request("k-1", None, _put("Connection", "close")))
    assert (said.status, said.headers["connection"]) == (202, "close")


async def test_a_client_that_leaves_early_has_its_order_taken_all_the_same(server: Server):
    settings = server.house.services.settings
    _, writer = await asyncio.open_connection(settings.host, settings.port)
    writer.write(server.request("k-1"))
    await writer.drain()
    await asyncio.sleep(0.05)
    writer.transport.abort()
    again = await server.one(server.request("k-1"))
    assert (again.status, again.body["replayed"]) == (202, True)
