"""Holds each commit, and each execution at the bank, against the promises; at once.

What is checked at every commit: money sums to zero and every balance is the sum of its entries;
nothing is available beyond the overdraft; a payment moves only along ``states.TABLE`` and never out
of an end; its hold and its transfers stand as its state says; nothing leaves the house without
cover; each change of state is told to the log. What needs the end of the run is in ``judge``.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec

from caiwutong.approvals.rules import needed_people
from caiwutong.audit.model import Event
from caiwutong.kernel.clock import china_date
from caiwutong.kernel.errors import Broken
from caiwutong.ledger.model import HoldState
from caiwutong.payments.model import SWITCH, SWITCHED, AttemptRow, PaymentRow
from caiwutong.payments.states import TABLE, TERMINAL, State
from caiwutong.simulation.loop import SimClock
from caiwutong.simulation.stores import Stores
from caiwutong.simulation.trace import Trace

if TYPE_CHECKING:
    from caiwutong.simulation.bank import Order
    from caiwutong.simulation.people import Wish

_STEPS = {(state, step.to) for (state, _), step in TABLE.items()}
_IN_THE_HOUSE = (State.CREATED, State.AWAITING_SIGNATURES, State.CANCELLED, State.REJECTED)
_RELEASED = (HoldState.VOIDED, HoldState.EXPIRED)
_NEVER_EXECUTED = (State.REJECTED, State.CANCELLED, State.REVERSED)


class Violation(msgspec.Struct, frozen=True):
    """A promise that did not hold: which, in words, and whom it concerns."""

    name: str
    words: str
    subjects: tuple[str, ...] = ()
    """Ids, keys and references that the trace names."""


class Watch:
    """The promises, checked while the run goes on."""

    def __init__(self, stores: Stores, clock: SimClock, trace: Trace) -> None:
        self._stores = stores
        self._clock = clock
        self._trace = trace
        self.violations: list[Violation] = []
        self.found = asyncio.Event()
        self.wishes: dict[str, Wish] = {}
        """What the callers asked for, by the mark the bank sees."""
        self.live = 0
        self.all_ended = asyncio.Event()
        self._sums: dict[UUID, list[int]] = defaultdict(lambda: [0, 0])
        self._total_fen = 0
        self._moved: Counter[tuple[UUID, str]] = Counter()
        self._by_mark: dict[str, UUID] = {}
        self.on_line: Callable[[], None] = lambda: None

    # What others tell.

    def violated(self, name: str, words: str, *subjects: object) -> None:
        """Note that a promise did not hold."""
        names = tuple(str(s) for s in subjects if s)
        self._trace.tell("WATCH", f"{name}: {words} {' '.join(names)}")
        self.violations.append(Violation(name, words, names))
        self.found.set()

    def broken(self, who: str, error: Broken) -> None:
        self.violated("broken", f"{who}: {error}")

    def unexpected(self, who: str, error: BaseException) -> None:
        self.violated("unexpected", f"{who}: {type(error).__name__}: {error}")

    def answered(self, wish: Wish, payment_id: UUID) -> None:
        """A caller was told the payment of a key."""
        if wish.payment_id is None:
            wish.payment_id = payment_id
        elif wish.payment_id != payment_id:
            self.violated(
                "one_payment_a_key",
                f"Key {wish.mark} stands for two payments.",
                wish.mark, wish.payment_id, payment_id,
            )  # fmt: skip

    # At every commit.

    def committed(self) -> None:
        """Judge what this transaction changed."""
        pending = self._stores.pending
        if not (pending.payments or pending.entries or pending.events or pending.holds):
            return
        self._check_money()
        told = self._read_log(pending.events)
        for before, after in pending.payments:
            self._check_step(before, after, told)
        for _, after in pending.payments:
            self._check_hold(after)

    def _check_money(self) -> None:
        pending = self._stores.pending
        for entry in pending.entries:
            figures = self._sums[entry.account_id]
            figures[0] += entry.amount_fen
            figures[1] += entry.held_fen
            self._total_fen += entry.amount_fen
        if self._total_fen:
            self.violated("ledger_sums_to_zero", f"All entries make {self._total_fen} fen.")
        for account_id, state in pending.accounts.items():
            posted, held = self._sums[account_id]
            if (posted * state.side, held) != (state.posted, state.held):
                self.violated(
                    "balance_is_its_entries",
                    f"{state.code} says {state.posted}/{state.held}, its entries "
                    f"{posted * state.side}/{held}.",
                )
            limit = state.overdraft_fen
            if limit is not None and state.available < -limit - state.beyond_fen:
                self.violated("no_overdraft", f"{state.code} has {state.available} available.")
        for transfer in pending.transfers:
            if transfer.kind in ("payment", "return") and transfer.subject is not None:
                self._moved[transfer.subject, transfer.kind] += 1
                if self._moved[transfer.subject, transfer.kind] > 1:
                    self.violated(
                        "settled_once", f"A second {transfer.kind} is booked.", transfer.subject
                    )

    def _read_log(self, events: Sequence[Event]) -> dict[UUID, set[str]]:
        told: dict[UUID, set[str]] = {}
        for event in events:
            if event.kind == "payment.contradicted" and not self.left(event.subject_id):
                words = "The bank's word fits no state."
                self.violated("bank_contradicts", words, event.subject_id)
            if event.subject_kind == "payment":
                data = event.data()
                states = told.setdefault(event.subject_id, set())
                states.update(data.get("states", ()))
                states.add(data.get("state", ""))
        return told

    def _check_step(
        self, before: PaymentRow | None, after: PaymentRow, told: dict[UUID, set[str]]
    ) -> None:
        state = after.state
        if before is None:
            self.live += 1
            self.all_ended.clear()
            if self._by_mark.setdefault(after.remark, after.payment_id) != after.payment_id:
                words = f"Key {after.key} stands for two payments."
                self.violated("one_payment_a_key", words, after.key, after.payment_id)
        elif before.state is state:
            return
        self._trace.tell(
            "payment",
            f"{after.payment_id} {after.key} {before.state.value if before else 'new'} > "
            f"{state.value} {after.reference} {after.reason_code}",
        )
        subjects = after.payment_id, after.key, after.reference
        if before is not None and before.state in TERMINAL:
            words = f"{before.state.value} became {state.value}."
            self.violated("an_end_is_an_end", words, *subjects)
        elif before is not None and (before.state, state) not in _STEPS:
            words = f"{before.state.value} became {state.value}."
            self.violated("only_along_the_table", words, *subjects)
        if state.value not in told.get(after.payment_id, ()):
            self.violated("every_change_is_told", f"No event tells {state.value}.", *subjects)
        if state in TERMINAL:
            self.live -= 1
            if self.live == 0:
                self.all_ended.set()
        if state in (State.VALIDATED, State.SUBMITTED):
            self._check_cover(after)
        if state is State.SUBMITTED:
            self._check_ways(after)
        if state in _NEVER_EXECUTED:
            wish = self.wishes.get(after.remark)
            if wish is not None and wish.executed:
                self.violated(
                    "the_end_is_the_banks", f"{state.value}, but the bank executed it.", *subjects
                )

    def _check_hold(self, row: PaymentRow) -> None:
        hold = self._stores.ledger.hold_of(row.payment_id)
        if hold is None:
            self.violated("held_while_alive", "No hold stands.", row.payment_id, row.key)
            return
        if row.state is State.COMPLETED:
            fits = hold.state is HoldState.POSTED
        elif row.state in TERMINAL:
            fits = hold.state in _RELEASED
        else:
            fits = hold.state is HoldState.HELD
        if not fits or hold.amount_fen != row.amount_fen:
            words = (
                f"{row.state.value} with a hold of {hold.amount_fen} that is {hold.state.value}."
            )
            self.violated("held_while_alive", words, row.payment_id, row.key)

    def left(self, payment_id: UUID) -> list[AttemptRow]:
        """Attempts that two different people signed to leave, by the watch's own reading."""
        return [
            attempt
            for attempt in self._stores.payments.attempts(payment_id)
            if attempt.outcome == SWITCHED
            and len(
                {
                    s.person_id
                    for s in self._stores.approvals.signed(SWITCH, attempt.attempt_id)
                    if s.person_id != self._caller_of(payment_id)
                }
            )
            >= 2
        ]

    def _caller_of(self, payment_id: UUID) -> UUID | None:
        row = self._stores.payments.row(payment_id)
        return None if row is None else row.caller

    def _check_ways(self, row: PaymentRow) -> None:
        """One way at a time: another attempt only after a definite no, or after two people's
        decision once the network took the message no more."""
        *earlier, _ = self._stores.payments.attempts(row.payment_id)
        left = {attempt.attempt_id for attempt in self.left(row.payment_id)}
        for attempt in earlier:
            no = attempt.outcome in ("rejected", "revoked")
            late = attempt.closed_at is not None and attempt.closed_at > attempt.valid_until
            if not no and not (attempt.attempt_id in left and late):
                words = f"{attempt.reference} is {attempt.outcome or 'open'}."
                self.violated("one_way_at_a_time", words, row.payment_id, row.key)

    def _check_cover(self, row: PaymentRow) -> None:
        """Nobody moves money alone: judge the cover by its own words, not by the engine's."""
        by, _, what = row.authorised_by.partition(":")
        if by == "mandate":
            flaw = self._mandate_flaw(row, UUID(what))
        elif by == "signatures":
            flaw = self._signature_flaw(row)
        else:
            flaw = "nobody released it"
        if flaw:
            self.violated("nobody_alone", f"{row.authorised_by}: {flaw}.", row.payment_id, row.key)

    def _mandate_flaw(self, row: PaymentRow, mandate_id: UUID) -> str:
        mandate = self._stores.approvals.mandate_of(mandate_id)
        if mandate is None:
            return "no such mandate"
        terms = mandate.terms
        signers = {s.person_id for s in self._stores.approvals.signed("mandate", mandate_id)}
        if len(signers - {mandate.maker}) < 2:
            return "two people did not sign the mandate"
        if mandate.revoked_at is not None and mandate.revoked_at < row.created_at:
            return "it was revoked before"
        if not terms.valid_from <= row.created_at < terms.valid_until:
            return "it was not valid then"
        if terms.api_key_id != row.caller or row.bank_account_id not in terms.bank_account_ids:
            return "it is another's, or for another account"
        if terms.payees != "any" and row.payee_index not in terms.payees:
            return "it does not name the payee"
        if row.amount_fen > terms.per_payment_fen:
            return "the amount is above its limit"
        day = china_date(row.created_at)
        used = sum(
            other.amount_fen
            for other in self._stores.payments.rows().values()
            if other.authorised_by == row.authorised_by
            and other.state is not State.CANCELLED
            and china_date(other.created_at) == day
        )
        return "the day's limit is passed" if used > terms.daily_fen else ""

    def _signature_flaw(self, row: PaymentRow) -> str:
        signed = {
            s.person_id
            for s in self._stores.approvals.signed("payment", row.payment_id)
            if s.digest == row.digest and s.person_id != row.caller
        }
        needed = needed_people((), row.amount_fen)
        return f"{len(signed)} of {needed} people signed" if len(signed) < needed else ""

    # At every booking in the bank's books.

    def line_booked(self, number: str) -> None:
        """The bank booked a line on one of our accounts."""
        self.on_line()

    def executed(self, order: Order) -> None:
        """The bank moved the money of this order just now."""
        asked = order.order
        wish = self.wishes.get(asked.mark)
        if wish is None:
            self.violated("only_what_was_asked", "Nobody asked for it.", asked.mark)
            return
        payment_id = self._by_mark.get(asked.mark)
        row = None if payment_id is None else self._stores.payments.row(payment_id)
        subjects = asked.mark, payment_id, asked.reference
        wish.executed += 1
        # People who left an attempt in doubt took the risk that it had paid.
        risked = 0 if payment_id is None else len(self.left(payment_id))
        if wish.executed > 1 + risked:
            self.violated("paid_once", f"The bank executed it {wish.executed} times.", *subjects)
        if (asked.amount_fen, asked.payee, asked.payer) != (
            wish.order.amount_fen,
            wish.order.payee.account,
            wish.payer,
        ):
            self.violated("paid_as_asked", "Amount or accounts are others.", *subjects)
        if row is not None and row.state in _NEVER_EXECUTED:
            words = f"The bank executed it, and we say {row.state.value}."
            self.violated("the_end_is_the_banks", words, *subjects)
