"""Intake in a process of its own, spoken to over a socket that only parent and child hold.

The front that answers HTTP and the intake that writes batches each get a core, and a batch that
has locked accounts never waits for a thousand requests to be parsed. ``RemoteIntake`` is the
front's end, ``serve_intake`` the other; both keep what ``Intake.submit_many`` promises. When the
connection breaks, whoever waits is told ``InDoubt``: the same key asks again and is answered once.

A frame is four bytes of length and one MessagePack value. Orders and answers only, in clear: the
socket is a pair inherited by the child and has no name anybody else could open.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from caiwutong.kernel.errors import (
    Broken,
    CaiwutongError,
    Conflict,
    InDoubt,
    Refusal,
    Unavailable,
)
from caiwutong.payments.model import Answer, Receipt, Submission
from caiwutong.payments.ports import TakesOrders

log = logging.getLogger(__name__)

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

_HEAD = 4
_LARGEST = 64 << 20
_AGAIN_S = 0.2


class _Ask(msgspec.Struct, frozen=True, array_like=True):
    number: int
    tenant: str
    submissions: Sequence[Submission]
    dry_run: bool


class _Told(msgspec.Struct, frozen=True, array_like=True):
    """The answer to ``number``: receipts and refusals apart, each with its place; or what went
    wrong with the batch as a whole."""

    number: int
    receipts: Sequence[tuple[int, Receipt]] = ()
    refusals: Sequence[tuple[int, Refusal]] = ()
    failed: str = ""
    error: Refusal | None = None


_HELLO = _Told(0)
"""The first frame of the child: it is ready."""

_KINDS: dict[str, type[CaiwutongError]] = {
    kind.__name__: kind for kind in (Unavailable, InDoubt, Conflict, Broken)
}
_encode = msgspec.msgpack.Encoder().encode
_read_ask = msgspec.msgpack.Decoder(_Ask).decode
_read_told = msgspec.msgpack.Decoder(_Told).decode


async def serve_intake(
    intake: TakesOrders, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Answer batches until the other end is gone; what is under way then is still finished."""
    running: set[asyncio.Task[None]] = set()
    _send(writer, _encode(_HELLO))
    while (frame := await _receive(reader)) is not None:
        task = asyncio.ensure_future(_answer(intake, _read_ask(frame), writer))
        running.add(task)
        task.add_done_callback(running.discard)
    if running:
        await asyncio.wait(running)


async def _answer(intake: TakesOrders, ask: _Ask, writer: asyncio.StreamWriter) -> None:
    try:
        answers = await intake.submit_many(ask.tenant, ask.submissions, dry_run=ask.dry_run)
        told = _Told(
            ask.number,
            [(n, a) for n, a in enumerate(answers) if isinstance(a, Receipt)],
            [(n, a) for n, a in enumerate(answers) if isinstance(a, Refusal)],
        )
    except CaiwutongError as error:
        told = _Told(ask.number, failed=type(error).__name__, error=error.as_refusal())
    except Exception:
        log.exception("a batch of %d broke", len(ask.submissions))
        words = Refusal("payments.batch_broke", "The batch broke; the intake's log says why.")
        told = _Told(ask.number, failed=Broken.__name__, error=words)
    _send(writer, _encode(told))


class RemoteIntake:
    """``Intake.submit_many`` by a process at the other end of a socket.

    ``connect`` starts that process and gives the two streams to it; it is called again whenever
    the process is gone. Until it is back, orders are refused as ``Unavailable``.
    """

    def __init__(self, connect: Callable[[], Awaitable[Streams]]) -> None:
        self._connect = connect
        self._writer: asyncio.StreamWriter | None = None
        self._waiting: dict[int, asyncio.Future[_Told]] = {}
        self._number = 0
        self._ready = asyncio.Event()

    async def ready(self) -> None:
        """Wait until the other end has spoken for the first time."""
        await self._ready.wait()

    async def run(self) -> None:
        """Keep the other end alive, until cancelled."""
        while True:
            with contextlib.suppress(OSError):
                reader, self._writer = await self._connect()
                try:
                    await self._listen(reader)
                finally:
                    self._hang_up()
            log.error("the intake process is gone; another one is started")
            await asyncio.sleep(_AGAIN_S)

    async def submit_many(
        self, tenant: str, submissions: Sequence[Submission], *, dry_run: bool = False
    ) -> list[Answer]:
        """One answer for each submission, in order. Raises Unavailable; InDoubt when the other end
        went away before it answered."""
        writer = self._writer
        if writer is None:
            raise Unavailable(
                "payments.intake_away",
                "The process that takes orders in is being started.",
                "Nothing was done; send it again with the same idempotency key in a second.",
            )
        self._number += 1
        number = self._number
        done: asyncio.Future[_Told] = asyncio.get_running_loop().create_future()
        self._waiting[number] = done
        _send(writer, _encode(_Ask(number, tenant, submissions, dry_run)))
        try:
            return _answers(await done)
        finally:
            self._waiting.pop(number, None)

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        while (frame := await _receive(reader)) is not None:
            told = _read_told(frame)
            self._ready.set()
            done = self._waiting.pop(told.number, None)
            if done is not None and not done.done():
                done.set_result(told)

    def _hang_up(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
        for done in self._waiting.values():
            if not done.done():
                done.set_exception(
                    InDoubt(
                        "payments.intake_lost",
                        "The process that takes orders in ended before it answered.",
                        "Send the same request with the same idempotency key: it is answered once.",
                    )
                )
        self._waiting.clear()


def _answers(told: _Told) -> list[Answer]:
    if told.error is not None:
        error = told.error
        raise _KINDS.get(told.failed, Broken)(error.code, error.detail, error.cure)
    answers: dict[int, Answer] = {**dict(told.receipts), **dict(told.refusals)}
    return [answers[place] for place in range(len(answers))]


def _send(writer: asyncio.StreamWriter, frame: bytes) -> None:
    if not writer.is_closing():
        writer.write(len(frame).to_bytes(_HEAD, "big") + frame)


async def _receive(reader: asyncio.StreamReader) -> bytes | None:
    """The next frame; None when the other end is gone."""
    try:
        size = int.from_bytes(await reader.readexactly(_HEAD), "big")
        if size > _LARGEST:
            raise Broken("payments.bad_frame", f"A frame of {size:,} bytes was announced.")
        return await reader.readexactly(size)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
