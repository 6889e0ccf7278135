"""Experience: the events of payments, read in order, become observations and beliefs.

A ``Notebook`` is a value: beliefs, the tries whose end is not known yet, and how far the log has
been read. ``read_on`` takes the next events and gives the next notebook; the same events give the
same beliefs, whoever reads them and however often it is started again. Pure; ``service`` keeps it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol, cast

import msgspec

from caiwutong.routing.beliefs import Beliefs, Cell, Observation, Outcome, Priors
from caiwutong.routing.learning import learn_many, overdue_after
from caiwutong.routing.model import Decision

PAYEE_DATA = frozenset({"RJ01", "RJ02", "RJ08", "RJ11", "payment.bad_payee_account"})
"""Reject codes that blame the payee's data: no such account, name, account type, account state
(DOMAIN facts of CNAPS2). The way itself worked."""

OPEN_AT_MOST, ENDED_AT_MOST = 200_000, 20_000
"""How many tries are remembered; the oldest are let go."""


class Happening(Protocol):
    """What is read of an event of the log."""

    @property
    def seq(self) -> int: ...
    @property
    def kind(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def at(self) -> datetime: ...
    @property
    def data(self) -> Any: ...


class Try(msgspec.Struct, frozen=True):
    """A payment on its way, as dispatch told the log (``way`` in its event)."""

    sent_at: datetime
    mode: str
    clearing: str
    bank: str
    payee_bank: str
    payee_kind: str
    amount_fen: int
    expected_s: float
    explored: bool = False
    doubtful: bool = False
    overdue: bool = False


class Notebook(msgspec.Struct, frozen=True):
    """What one tenant's payments have taught, and what is still open."""

    beliefs: Beliefs = Beliefs()
    open: dict[str, Try] = msgspec.field(default_factory=dict[str, Try])
    ended: dict[str, Try] = msgspec.field(default_factory=dict[str, Try])
    """Recent successes: a return (退汇) may still follow."""
    seq: int = 0


class _Kept(msgspec.Struct):
    """A notebook as it is stored: keys of cells joined, priors left to the code."""

    cells: dict[str, tuple[float, float, float]]
    seen: int
    open: dict[str, Try]
    ended: dict[str, Try]
    seq: int


def told(decision: Decision) -> dict[str, Any]:
    """What dispatch tells the log of a try, for ``read_on`` to learn from. No account number."""
    ask, chosen = decision.ask, decision.chosen
    return {
        "mode": chosen.mode,
        "clearing": chosen.clearing,
        "bank": chosen.bank,
        "payee_bank": ask.payee_bank,
        "payee_kind": ask.payee_kind,
        "amount_fen": ask.amount_fen,
        "expected_s": round(decision.score.arrival_s, 1),
        "explored": decision.explored,
    }


def write(notebook: Notebook) -> bytes:
    """The notebook as bytes (JSON)."""
    cells = {
        "\x1f".join(key): (cell.s, cell.e, cell.at) for key, cell in notebook.beliefs.cells.items()
    }
    kept = _Kept(cells, notebook.beliefs.seen, notebook.open, notebook.ended, notebook.seq)
    return msgspec.json.encode(kept)


def read(raw: bytes, priors: Priors | None = None) -> Notebook:
    """The notebook in these bytes. Raises msgspec.DecodeError for bytes that are none."""
    kept = msgspec.json.decode(raw, type=_Kept)
    cells = {tuple(key.split("\x1f")): Cell(*cell) for key, cell in kept.cells.items()}
    beliefs = Beliefs(priors or Priors(), cells, kept.seen)
    return Notebook(beliefs, kept.open, kept.ended, kept.seq)


def read_on(notebook: Notebook, events: Sequence[Happening], now: datetime) -> Notebook:
    """The notebook after these events, and after looking at what is overdue at ``now``."""
    page = _Page(notebook)
    for event in events:
        page.take(event)
    page.overdue(now)
    if not events and not page.seen:
        return notebook
    return Notebook(
        learn_many(notebook.beliefs, page.seen),
        _newest(page.open, OPEN_AT_MOST),
        _newest(page.ended, ENDED_AT_MOST),
        events[-1].seq if events else notebook.seq,
    )


def _newest(tries: dict[str, Try], most: int) -> dict[str, Try]:
    return tries if len(tries) <= most else dict(list(tries.items())[-most:])


def way_of(event: Happening) -> Try | None:
    """The try that this event tells of, if it does."""
    way = _data(event).get("way")
    if not isinstance(way, dict):
        return None
    try:
        return msgspec.convert(cast("dict[str, Any]", way) | {"sent_at": event.at}, Try)
    except msgspec.ValidationError:
        return None  # told by another version of the house: nothing can be learnt of it


def _data(event: Happening) -> dict[str, Any]:
    return cast("dict[str, Any]", event.data) if isinstance(event.data, dict) else {}


class _Page:
    """One reading."""

    def __init__(self, notebook: Notebook) -> None:
        self.open = dict(notebook.open)
        self.ended = dict(notebook.ended)
        self.seen: list[Observation] = []

    def take(self, event: Happening) -> None:
        one = way_of(event)
        if one is not None:
            self.open[event.subject] = one
            return
        data = _data(event)
        payment = event.subject
        match event.kind:
            case "payment.in_doubt":
                if payment in self.open:
                    one = self.open[payment]
                    self.open[payment] = msgspec.structs.replace(one, doubtful=True)
            case "payment.completed":
                one = self.open.pop(payment, None)
                if one is not None:
                    self._observe(one, event.at, Outcome.SUCCESS)
                    self.ended[payment] = one
            case "payment.rejected" | "payment.rerouted":
                one = self.open.pop(payment, None)
                if one is not None:
                    fault = data.get("code") in PAYEE_DATA
                    self._observe(one, event.at, Outcome.DATA_FAULT if fault else Outcome.REJECTED)
            case "payment.returned":
                one = self.ended.pop(payment, None)
                if one is not None:
                    self._observe(one, event.at, Outcome.FROZEN)
            case "payment.reversed" | "payment.cancelled":
                self.open.pop(payment, None)
            case _:
                pass

    def overdue(self, now: datetime) -> None:
        for payment, one in self.open.items():
            waited = (now - one.sent_at).total_seconds()
            if not one.overdue and not one.doubtful and waited > overdue_after(one.expected_s):
                self._observe(one, now, Outcome.OVERDUE)
                self.open[payment] = msgspec.structs.replace(one, overdue=True)

    def _observe(self, one: Try, at: datetime, outcome: Outcome) -> None:
        plain = outcome is Outcome.SUCCESS and not one.doubtful
        self.seen.append(
            Observation(
                at=at,
                sent_at=one.sent_at,
                mode=one.mode,
                clearing=one.clearing,
                bank=one.bank,
                payee_bank=one.payee_bank,
                payee_kind=one.payee_kind,
                amount_fen=one.amount_fen,
                outcome=outcome,
                arrival_s=(at - one.sent_at).total_seconds() if plain else None,
                was_overdue=one.overdue and outcome is not Outcome.OVERDUE,
                explored=one.explored,
            )
        )
