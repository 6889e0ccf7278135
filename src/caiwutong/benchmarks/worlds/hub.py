"""Follows the payments of a world as the house does, with any policy in place of routing.

The rules are those of the engine: a definite no goes to the next candidate at once; a fault in the
payee's data ends the payment; silence is only ever asked about, never answered with a second try;
nothing open means waiting for the next opening. What a policy sees is what a hub sees: asks,
candidates, the catalog as announced so far, and observations when they become known.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

from caiwutong.benchmarks.worlds.traffic import Payment, Ways
from caiwutong.benchmarks.worlds.truth import Happened, Truth
from caiwutong.rails.catalog import Catalog
from caiwutong.routing.beliefs import Observation, Outcome
from caiwutong.routing.learning import overdue_after
from caiwutong.routing.model import Ask, Candidate, Profile

LEARN_EVERY_S = 10.0
"""The feed of events is read so often (business time)."""

MOST_TRIES = 40


class Choice(NamedTuple):
    """What a policy says: a way now, or when to ask again; neither: it gives up."""

    way: Candidate | None
    again_at: float = 0.0
    explored: bool = False
    expected_s: float = 60.0


class Policy(Protocol):
    """Any way of choosing. It is never handed the truth of a world."""

    name: str

    def choose_many(
        self, asks: Sequence[tuple[Ask, Sequence[Candidate]]], now: float
    ) -> list[Choice]:
        """A choice for each payment, in order."""
        ...

    def learn_many(self, observations: Sequence[Observation]) -> None:
        """What became known since the last call."""
        ...

    def know(self, catalog: Catalog) -> None:
        """The catalog as it is known from now on."""
        ...


class Record:
    """What became of one payment."""

    __slots__ = (
        "arrived_at", "data_fault", "ended", "executed", "explored", "first", "first_failed",
        "frozen", "sent_at", "tries", "way",
    )  # fmt: skip

    def __init__(self) -> None:
        self.tries: tuple[str, ...] = ()
        self.first: Candidate | None = None
        self.sent_at = 0.0
        self.first_failed = False
        self.way: Candidate | None = None
        """The way it arrived by."""
        self.arrived_at = 0.0
        self.frozen = False
        self.executed = 0
        """How often money moved, by the banks' own books."""
        self.data_fault = False
        self.explored = False
        self.ended = False


class _Try(NamedTuple):
    payment: Payment
    way: Candidate
    sent_at: float
    happened: Happened
    explored: bool
    number: int
    late: bool
    """Whether it is seen to be overdue before its end is known."""


_ASK, _TOLD, _OVERDUE, _CATALOG = range(4)


class Hub:
    """One run of one policy over one world."""

    def __init__(
        self, truth: Truth, payments: Sequence[Payment], ways: Ways, policy: Policy,
        *, failover: bool = True, blind_resend: bool = False,
    ) -> None:  # fmt: skip
        self._truth = truth
        self._payments = payments
        self._ways = ways
        self._policy = policy
        self._failover = failover
        self._blind_resend = blind_resend
        """A planted fault: answer silence with a second try. For the test of the judge."""
        self._events: list[tuple[float, int, int, object]] = []
        self._number = 0
        self._seen: list[Observation] = []
        self._learnt_at = 0.0
        self.records = [Record() for _ in payments]

    def run(self) -> list[Record]:
        """Every payment followed to its end."""
        self._policy.know(self._truth.catalog(self._truth.start))
        for at in self._truth.announcements():
            self._push(at, _CATALOG, None)
        payments, place = self._payments, 0
        events = self._events
        while place < len(payments) or events:
            if place < len(payments) and (not events or payments[place].at <= events[0][0]):
                at = payments[place].at
                batch = [payments[place]]
                place += 1
                while place < len(payments) and payments[place].at == at:
                    batch.append(payments[place])
                    place += 1
                self._ask(batch, at)
                continue
            at, _, kind, what = heapq.heappop(events)
            if kind == _ASK:
                assert isinstance(what, Payment)
                self._ask([what], at)
            elif kind == _CATALOG:
                self._policy.know(self._truth.catalog(at))
            else:
                assert isinstance(what, _Try)
                if kind == _TOLD:
                    self._told(what, at)
                else:
                    self._observe(what, at, Outcome.OVERDUE)
        return self.records

    def _push(self, at: float, kind: int, what: object) -> None:
        self._number += 1
        heapq.heappush(self._events, (at, self._number, kind, what))

    def _ask(self, batch: Sequence[Payment], at: float) -> None:
        if self._seen and at - self._learnt_at >= LEARN_EVERY_S:
            self._policy.learn_many(self._seen)
            self._seen = []
            self._learnt_at = at
        records, of = self.records, self._ways.of
        asks = [
            (
                Ask(
                    key=f"p{p.number}",
                    amount_fen=p.amount_fen,
                    payee_bank=p.payee_bank,
                    payee_kind=p.payee_kind,
                    profile=Profile.URGENT if p.urgent else Profile.NORMAL,
                    tried=records[p.number].tries,
                ),
                of(p.entity, p.payee_bank),
            )
            for p in batch
        ]
        for payment, choice in zip(batch, self._policy.choose_many(asks, at), strict=True):
            if choice.way is not None:
                self._send(payment, choice.way, at, choice)
            elif choice.again_at > at:
                self._push(choice.again_at, _ASK, payment)
            else:
                records[payment.number].ended = True

    def _send(self, payment: Payment, way: Candidate, at: float, choice: Choice) -> None:
        record = self.records[payment.number]
        number = len(record.tries)
        if number == 0 and record.first is None:
            record.first, record.sent_at, record.explored = way, at, choice.explored
        happened = self._truth.happens(payment, way, number, at)
        overdue = at + overdue_after(choice.expected_s)
        # Only what was acknowledged can be overdue; a lost answer is in doubt at once.
        late = happened.kind in ("settled", "frozen", "silent") and happened.at > overdue
        one = _Try(payment, way, at, happened, choice.explored, number, late)
        if happened.executed:
            record.executed += 1
        if late:
            self._push(overdue, _OVERDUE, one)
        self._push(happened.at, _TOLD, one)
        if self._blind_resend and happened.kind in ("lost", "silent"):
            record.tries = (*record.tries, way.key)
            self._push(at + 60.0, _ASK, payment)

    def _told(self, one: _Try, at: float) -> None:
        record, happened = self.records[one.payment.number], one.happened
        if happened.executed:
            frozen = happened.kind == "frozen"
            record.way, record.arrived_at, record.ended = one.way, happened.arrives, True
            record.frozen = record.frozen or frozen
            self._observe(one, at, Outcome.FROZEN if frozen else Outcome.SUCCESS)
            return
        if happened.kind == "data_fault":
            record.data_fault = record.ended = True
            self._observe(one, at, Outcome.DATA_FAULT)
            return
        self._observe(one, at, Outcome.REJECTED)
        if one.number == 0:
            record.first_failed = True
        if self._truth.data_fault[one.payment.number]:
            record.data_fault = True  # it would have failed everywhere
        if one.way.key not in record.tries:
            record.tries = (*record.tries, one.way.key)
        if self._failover and not self._blind_resend and len(record.tries) < MOST_TRIES:
            self._ask([one.payment], at)
        else:
            record.ended = True

    def _observe(self, one: _Try, at: float, outcome: Outcome) -> None:
        happened, payment, way = one.happened, one.payment, one.way
        ordinary = outcome is Outcome.SUCCESS and happened.kind == "settled"
        self._seen.append(
            Observation(
                at=datetime.fromtimestamp(at, UTC),
                sent_at=datetime.fromtimestamp(one.sent_at, UTC),
                mode=way.mode,
                clearing=way.clearing,
                bank=way.bank,
                payee_bank=payment.payee_bank,
                payee_kind=payment.payee_kind,
                amount_fen=payment.amount_fen,
                outcome=outcome,
                arrival_s=happened.arrives - one.sent_at if ordinary else None,
                was_overdue=one.late and outcome is not Outcome.OVERDUE,
                explored=one.explored,
            )
        )
