"""The simulated loop: time jumps, the seed decides the order, and everything can be replayed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest

from caiwutong.simulation.loop import SimClock, SimLoop, Stuck, TooLong

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T], seed: int = 1, **options: int) -> tuple[T, SimLoop]:
    loop = SimLoop(random.Random(seed), **options)
    try:
        return loop.run_until_complete(main), loop
    finally:
        loop.close()


def test_sleeping_for_a_year_takes_no_time_and_moves_the_clock_by_a_year() -> None:
    async def main() -> float:
        await asyncio.sleep(365 * 86400)
        return asyncio.get_running_loop().time()

    result, loop = run(main())
    assert result == 365 * 86400
    assert loop.steps < 10


def test_sleepers_wake_in_the_order_of_their_times_whatever_the_seed() -> None:
    async def main() -> list[int]:
        woken: list[int] = []

        async def nap(n: int) -> None:
            await asyncio.sleep(n)
            woken.append(n)

        await asyncio.gather(*(nap(n) for n in (3, 1, 2)))
        return woken

    assert all(run(main(), seed)[0] == [1, 2, 3] for seed in range(5))


async def in_what_order() -> str:
    order: list[str] = []

    async def say(letter: str) -> None:
        await asyncio.sleep(0)
        order.append(letter)

    await asyncio.gather(*(say(letter) for letter in "abcdef"))
    return "".join(order)


def test_the_seed_decides_who_of_the_ready_goes_first() -> None:
    orders = {run(in_what_order(), seed)[0] for seed in range(20)}
    assert len(orders) > 10


def test_the_same_seed_gives_the_same_order() -> None:
    assert run(in_what_order(), 7)[0] == run(in_what_order(), 7)[0]


def test_wait_for_gives_up_in_virtual_time() -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 90)
        return asyncio.get_running_loop().time()

    assert run(main())[0] == 90


def test_a_cancelled_timer_never_moves_the_time() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        loop.call_later(1000, print).cancel()
        await asyncio.wait_for(asyncio.sleep(1), 500)
        await asyncio.sleep(1)
        return loop.time()

    assert run(main())[0] == 2


def test_a_lock_lets_one_in_at_a_time() -> None:
    async def main() -> int:
        lock, inside, most = asyncio.Lock(), 0, 0

        async def enter() -> None:
            nonlocal inside, most
            async with lock:
                inside += 1
                most = max(most, inside)
                await asyncio.sleep(1)
                inside -= 1

        await asyncio.gather(*(enter() for _ in range(5)))
        return most

    result, loop = run(main())
    assert result == 1
    assert loop.time() == 5


def test_an_event_wakes_whoever_waits() -> None:
    async def main() -> str:
        event = asyncio.Event()
        waiter = asyncio.create_task(event.wait())
        await asyncio.sleep(3)
        event.set()
        return "woken" if await waiter else "not"

    assert run(main())[0] == "woken"


def test_a_task_can_be_cancelled_where_it_stands() -> None:
    async def main() -> list[str]:
        told: list[str] = []

        async def work() -> None:
            try:
                await asyncio.sleep(100)
            finally:
                told.append("undone")

        task = asyncio.create_task(work())
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait([task])
        return [*told, str(task.cancelled())]

    assert run(main())[0] == ["undone", "True"]


def test_waiting_for_ever_is_an_error_and_not_a_hang() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Stuck):
        run(main())


def test_turning_in_a_circle_is_an_error_and_not_a_hang() -> None:
    async def main() -> None:
        while True:  # noqa: ASYNC110
            await asyncio.sleep(0)

    with pytest.raises(TooLong):
        run(main(), most_steps=1000)


def test_what_the_main_coroutine_raises_is_raised() -> None:
    async def main() -> None:
        await asyncio.sleep(1)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        run(main())


def test_the_clock_reads_the_time_of_the_loop_and_a_business_second_is_a_second() -> None:
    loop = SimLoop(random.Random(1))
    clock = SimClock(loop, datetime(2026, 11, 2, tzinfo=UTC))

    async def main() -> None:
        await asyncio.sleep(3600)

    loop.run_until_complete(main())
    assert clock.now() == datetime(2026, 11, 2, 1, tzinfo=UTC)
    assert clock.at(60) - clock.start == timedelta(minutes=1)
    assert clock.real_seconds(2.5) == 2.5
