"""Whole installations: each test's own, or one that several stories share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.running import House


@pytest.fixture
def house() -> Iterator[House]:
    """An installation of this test's own, not started yet."""
    made = House()
    try:
        yield made
    finally:
        made.erase()


@pytest.fixture(scope="session")
def shared() -> Iterator[House]:
    """One running installation for the stories that add to it and break nothing; it must end
    clean. Its business time runs twenty times as fast as the machine's."""
    made = House()
    try:
        made.start()
        made.set_clock(scale=20)
        yield made
        if made.runs:
            assert made.stop() == 0, made.said()
    finally:
        made.erase()
