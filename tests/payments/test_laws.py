"""Laws of a payment's life: whatever the rail says, in whatever order, however often, and whatever
people do meanwhile, it ends once, its money moves once, and its hold is gone exactly then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import UUID

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from caiwutong.kernel.errors import CaiwutongError
from caiwutong.payments.model import Receipt
from caiwutong.payments.states import AT_THE_RAIL, TABLE, TERMINAL, State
from caiwutong.rails.contract import NOT_FOUND, SILENCE, RailReport, ReportKind
from support.payment_house import LOST, OPENING, REFUSED_CONNECTION, House, memory_house

FEN = 100_00
STEPS = {(state, step.to) for (state, _), step in TABLE.items()}


class Said(msgspec.Struct, frozen=True):
    """One word of the rail about our payment; with another amount it is not about ours."""

    kind: ReportKind
    true_amount: bool = True


class Words(msgspec.Struct, frozen=True):
    """What came in one batch, doubles included."""

    words: tuple[Said, ...]


class Asked(msgspec.Struct, frozen=True):
    """Time passes, and the enquiry that is then due finds this."""

    seconds: int
    kind: ReportKind
    code: str


class Person(msgspec.Struct, frozen=True):
    """Somebody presses a button."""

    button: str


Happening = Words | Asked | Person

kinds = st.sampled_from(list(ReportKind))
happenings: st.SearchStrategy[Happening] = st.one_of(
    st.builds(
        Words,
        st.lists(st.builds(Said, kinds, st.sampled_from([True, True, True, False])), max_size=4)
        .filter(bool)
        .map(tuple),
    ),
    st.builds(
        Asked,
        st.sampled_from([30, 600, 3600, 3 * 3600]),
        st.sampled_from([ReportKind.IN_DOUBT, ReportKind.IN_DOUBT, *ReportKind]),
        st.sampled_from([NOT_FOUND, SILENCE]),
    ),
    st.builds(Person, st.sampled_from(["cancel", "revoke", "ask", "return", "dispatch", "expire"])),
)


class Witness:
    """Sees one payment through and holds every moment against the laws."""

    def __init__(self, house: House, payment_id: UUID) -> None:
        self.house, self.payment_id = house, payment_id
        self.seen = [State.VALIDATED]

    async def live(self, story: Sequence[Happening]) -> None:
        for happening in story:
            await self._happen(happening)
            await self.look()

    async def _happen(self, happening: Happening) -> None:
        house = self.house
        if isinstance(happening, Words):
            reference = (await house.view(self.payment_id)).reference
            if reference:
                reports = [self._report(reference, said) for said in happening.words]
                await house.settlement.apply_many(house.tenant, reports)
        elif isinstance(happening, Asked):
            house.rail.on_enquiry = (happening.kind, happening.code)
            house.clock.advance(happening.seconds)
            await house.recovery.run_once(house.tenant)
        else:
            try:
                await self._press(happening.button)
            except CaiwutongError as error:
                assert error.status < 500 and error.cure, error

    def _report(self, reference: str, said: Said) -> RailReport:
        fen = FEN if said.true_amount else FEN + 1
        return self.house.rail.report(said.kind, reference, amount_fen=fen)

    async def _press(self, button: str) -> None:
        house = self.house
        if button == "cancel":
            await house.requests.cancel(house.tenant, self.payment_id, "person:Chen")
        elif button == "revoke":
            await house.requests.revoke(house.tenant, self.payment_id, "person:Chen")
        elif button == "ask":
            await house.requests.enquire(house.tenant, self.payment_id)
        elif button == "return":
            await house.requests.request_return(
                house.tenant, self.payment_id, "paid by mistake", "person:Chen"
            )
        elif button == "dispatch":
            await house.dispatch.run_once(house.tenant)
        else:
            await house.requests.expire_due(house.tenant)

    async def look(self) -> None:
        view = await self.house.view(self.payment_id)
        before, now = self.seen[-1], view.state
        if now is not before:
            assert before not in TERMINAL, f"{before} is an end and was left for {now}"
            self.seen.append(now)
        posted, held, available = await self.house.money()
        paid = FEN if now is State.COMPLETED and view.returned_at is None else 0
        assert held == (0 if now in TERMINAL else FEN)
        assert posted == OPENING - paid
        assert available == posted - held
        await self.house.proved()

    async def account_for(self) -> None:
        """At the end of the story: the log tells each end once, and the rail saw one reference."""
        told = await self.house.kinds(self.payment_id)
        ends = [k for k in told if k.removeprefix("payment.") in set(TERMINAL)]
        assert len(ends) == (1 if self.seen[-1] in TERMINAL else 0), told
        assert told.count("payment.returned") <= 1
        assert len(set(self.house.rail.sent)) <= 1, "one payment went out under two references"
        if self.house.rail.sent:
            assert self.seen[-1] in AT_THE_RAIL | TERMINAL


first_answers = st.sampled_from([LOST, REFUSED_CONNECTION, *ReportKind])


@given(first_answers, st.booleans(), st.lists(happenings, max_size=8))
@settings(max_examples=80)
def test_a_payment_ends_once_and_its_money_moves_once(
    first_answer: ReportKind | Exception, sent: bool, story: list[Happening]
) -> None:
    async def live() -> None:
        house = await memory_house().open()
        house.rail.on_send = first_answer
        answer = await house.submit(fen=FEN)
        assert isinstance(answer, Receipt)
        witness = Witness(house, answer.payment_id)
        await witness.live([Person("dispatch")] if sent else [])
        house.rail.on_send = ReportKind.ACCEPTED
        await witness.live(story)
        await witness.account_for()

    asyncio.run(live())


@given(st.lists(st.lists(kinds, min_size=1, max_size=3), min_size=1, max_size=6))
@settings(max_examples=60)
def test_how_reports_are_batched_decides_nothing(batches: list[list[ReportKind]]) -> None:
    async def end(split: Sequence[Sequence[ReportKind]]) -> tuple[object, ...]:
        house = await memory_house().open()
        payment = await house.pay(fen=FEN)
        reference = (await house.view(payment)).reference
        for batch in split:
            reports = [house.rail.report(kind, reference) for kind in batch]
            await house.settlement.apply_many(house.tenant, reports)
        view = await house.view(payment)
        return view.state, view.returned_at is None, await house.money(), await house.kinds(payment)

    together = [[kind for batch in batches for kind in batch]]
    one_by_one = [[kind] for kind in together[0]]
    assert asyncio.run(end(batches)) == asyncio.run(end(together)) == asyncio.run(end(one_by_one))
