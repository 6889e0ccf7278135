"""The one table of a payment's life: the same in the database and in the docs, and sound."""

from __future__ import annotations

import asyncpg
import pytest

from caiwutong.payments.states import TABLE, TERMINAL, WORDS, State
from house.tree import ROOT, script

STEPS = {(state, step.to) for (state, _), step in TABLE.items() if step.to is not state}


async def test_the_database_holds_the_same_steps(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        rows = await connection.fetch("SELECT from_state, to_state FROM payment_transitions")
    finally:
        await connection.close()
    assert {(row[0], row[1]) for row in rows} == {(a.value, b.value) for a, b in STEPS}


@pytest.mark.parametrize("end", sorted(TERMINAL))
def test_no_way_leads_out_of_an_end(end: State) -> None:
    assert not {to for source, to in STEPS if source is end}


def _reachable(start: State) -> set[State]:
    found, waiting = {start}, [start]
    while waiting:
        here = waiting.pop()
        for source, to in STEPS:
            if source is here and to not in found:
                found.add(to)
                waiting.append(to)
    return found


def test_every_state_can_be_reached() -> None:
    assert _reachable(State.CREATED) == set(State)


@pytest.mark.parametrize("state", sorted(set(State) - TERMINAL))
def test_an_end_can_be_reached_from_every_state(state: State) -> None:
    assert _reachable(state) & TERMINAL


def test_every_state_has_its_words_in_both_languages() -> None:
    assert set(WORDS) == set(State)
    assert all(chinese and english for chinese, english in WORDS.values())
    assert len({chinese for chinese, _ in WORDS.values()}) == len(WORDS)


def test_the_page_in_the_docs_is_made_from_the_table() -> None:
    written = (ROOT / "docs" / "payment-states.md").read_text(encoding="utf-8")
    assert written == script("payment_states").page(), (
        "run: python scripts/payment_states.py --write"
    )
