"""Which payments travel together, and the identity of a batch."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from uuid import UUID

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from caiwutong.kernel.clock import china_date
from caiwutong.kernel.ids import reference
from caiwutong.kernel.order import Priority
from caiwutong.rails.beps import messages as b
from caiwutong.rails.beps import profile
from caiwutong.rails.beps.codec import CODEC
from caiwutong.rails.beps.packing import Packed, pack
from caiwutong.rails.cnaps.messages import Original
from caiwutong.rails.cnaps.signing import NoSignatures
from caiwutong.rails.contract import AccountAtBank, Attempt
from support.ibps_words import AT, CENTRE, SPONSOR, texts

OTHER_BANK = "102290012345"


def attempt(
    number: int,
    *,
    at: datetime = AT,
    payer_bank: str = SPONSOR,
    payee_bank: str = OTHER_BANK,
    urgent: bool = False,
    name: str = "收款人",
    remark: str = "",
) -> Attempt:
    key = UUID(int=number)
    return Attempt(
        tenant="t",
        payment_id=key,
        attempt_id=key,
        rail="beps",
        reference=reference(at, key),
        payer=AccountAtBank("付款人", "31001234560000417", payer_bank),
        payee=AccountAtBank(name, "6222021234567890123", payee_bank),
        amount_fen=number + 1,
        created_at=at,
        valid_until=profile.valid_until(at),
        priority=Priority.URGENT if urgent else Priority.NORMAL,
        remark=remark,
    )


def small_rule(day: date, *, by_payee_bank: bool = False) -> profile.BatchRule:
    rule = profile.batch_rule_on(day)
    return msgspec.structs.replace(rule, payments=3, by_payee_bank=by_payee_bank)


many = st.lists(
    st.builds(
        attempt,
        st.integers(0, 10**9),
        at=st.sampled_from([AT, AT + timedelta(hours=3), AT + timedelta(days=1)]),
        payer_bank=st.sampled_from([SPONSOR, "", "313290000025"]),
        payee_bank=st.sampled_from([OTHER_BANK, "308290003011"]),
        urgent=st.booleans(),
    ),
    max_size=14,
    unique_by=lambda each: each.reference,
)


@settings(max_examples=150, deadline=None)
@given(many, st.randoms(use_true_random=False), st.booleans())
def test_every_attempt_is_in_exactly_one_message_and_the_same_attempts_give_the_same_ones(
    attempts: list[Attempt], shuffle: object, by_payee_bank: bool
) -> None:
    def rule(day: date) -> profile.BatchRule:
        return small_rule(day, by_payee_bank=by_payee_bank)

    packed = pack(attempts, SPONSOR, rule)
    inside = [each.reference for one in packed for each in one.attempts]
    assert sorted(inside) == sorted(each.reference for each in attempts)
    assert len({one.message_id for one in packed}) == len(packed)
    for one in packed:
        assert len(one.attempts) <= 3
        assert len({china_date(each.created_at) for each in one.attempts}) == 1
        assert len({each.payer.bank_code or SPONSOR for each in one.attempts}) == 1
        if by_payee_bank:
            assert len({each.payee.bank_code for each in one.attempts}) == 1
        urgent = {each.priority is Priority.URGENT for each in one.attempts}
        assert urgent == {one.real_time} and (not one.real_time or len(one.attempts) == 1)
        assert one.at == max(each.created_at for each in one.attempts)
    other_order = list(attempts)
    shuffle.shuffle(other_order)  # type: ignore[attr-defined]

    def found(messages: list[Packed]) -> set[tuple[str, tuple[str, ...]]]:
        return {(one.message_id, tuple(a.reference for a in one.attempts)) for one in messages}

    assert found(pack(other_order, SPONSOR, rule)) == found(packed)


def test_a_batch_of_other_payments_has_another_id_and_one_alone_has_its_own_reference() -> None:
    three = [attempt(n) for n in range(3)]
    (whole,) = pack(three, SPONSOR)
    (two,) = pack(three[:2], SPONSOR)
    (alone,) = pack(three[:1], SPONSOR)
    assert len({whole.message_id, two.message_id, alone.message_id}) == 3
    assert alone.message_id == three[0].reference
    assert whole.message_id.startswith("20261123") and len(whole.message_id) == 20


def test_five_hundred_and_one_payments_take_two_messages() -> None:
    packed = pack([attempt(n) for n in range(501)], SPONSOR)
    assert [len(one.attempts) for one in packed] == [500, 1]


def test_a_group_of_the_longest_texts_is_split_before_it_is_too_large() -> None:
    packed = pack([attempt(n, remark="&" * 280, name="&" * 120) for n in range(500)], SPONSOR)
    assert len(packed) > 1
    for one in packed:
        credits_ = [
            b.Credit(each.reference, each.amount_fen, each.payer, each.payee, remark=each.remark)
            for each in one.attempts
        ]
        raw = CODEC.encode(
            b.CustomerCredits.of(credits_),
            sender=SPONSOR,
            receiver=CENTRE,
            signer=NoSignatures(),
            at=one.at,
            message_id=one.message_id,
        )
        assert len(raw) < 1_000_000


@settings(max_examples=60, deadline=None)
@given(texts(140), texts(140), texts(140), texts(140), texts(140), texts(280))
def test_the_reckoned_size_of_a_payment_is_never_too_small(
    name: str, bank: str, payee: str, payee_bank: str, purpose: str, remark: str
) -> None:
    from caiwutong.rails.beps.packing import _most_bytes  # pyright: ignore[reportPrivateUsage]

    payer = AccountAtBank(name, "9" * 34, SPONSOR, bank)
    to = AccountAtBank(payee, "9" * 34, OTHER_BANK, payee_bank)
    one = msgspec.structs.replace(
        attempt(1), payer=payer, payee=to, purpose=purpose, remark=remark, amount_fen=10**14
    )
    original = Original("9" * 20, SPONSOR, "beps.121.001.01", "9" * 20)
    credit = b.Credit(
        one.reference, one.amount_fen, payer, to, purpose=purpose, remark=remark, original=original
    )
    arguments = {
        "sender": SPONSOR, "receiver": CENTRE, "signer": NoSignatures(), "at": AT, "message_id": "M"
    }  # fmt: skip
    two = b.CustomerCredits.of([credit, msgspec.structs.replace(credit, transaction_id="Z" * 20)])
    larger = len(CODEC.encode(two, **arguments))  # type: ignore[arg-type]
    smaller = len(CODEC.encode(b.CustomerCredits.of([credit]), **arguments))  # type: ignore[arg-type]
    assert larger - smaller <= _most_bytes(one)
