"""The whole of an import, in memory and on PostgreSQL: check, apply, again, broken off, gone on."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.imports.house import OPENING_FEN, Crash, House, T
from tests.imports.test_pain001 import message, transfer

from caiwutong.db.memory import MemoryDatabase
from caiwutong.imports.records import Progress, Report, State, Status
from caiwutong.imports.template import encode
from caiwutong.kernel.errors import Conflict, InDoubt, NotFound, Refused, Unavailable
from caiwutong.ledger.model import Void


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.engine)])
async def house(request: pytest.FixtureRequest) -> AsyncIterator[House]:
    if request.param == "memory":
        yield await House(MemoryDatabase()).settle()
        return
    from caiwutong.db.postgres import PostgresDatabase

    database = await PostgresDatabase.connect(request.getfixturevalue("database_url"), name="test")
    yield await House(database).settle()
    await database.close()


def report_of(house_record: object) -> Report:
    report = getattr(house_record, "report", None)
    assert isinstance(report, Report)
    return report


async def test_a_check_reads_everything_and_applies_nothing(house: House) -> None:
    rows = [house.row(i) for i in range(100)] + [house.row(100, amount="1.234")]
    import_id = await house.receive(encode(".csv", rows))
    record = await house.imports.check(T, import_id)
    report = report_of(record)
    assert record.state is State.CHECKED
    assert (record.rows_done, record.rows_total) == (101, 101)
    assert (report.kind, report.good.rows, report.bad) == ("csv", 100, 1)
    assert report.good.amount_fen == sum((i + 1) * 100 + i for i in range(100))
    assert sum(t.amount_fen for t in report.by_unit.values()) == report.good.amount_fen
    assert set(report.by_bank) == {"中国工商银行", "中国建设银行"}
    assert len(report.by_unit) == 37
    (problem,) = report.first_problems
    assert (problem.row_no, problem.status) == (102, Status.BAD)
    assert problem.problems[0].code == "imports.amount_decimals"
    assert await house.paid() == []
    assert await house.held_fen() == 0


async def test_an_import_pays_every_row_once(house: House) -> None:
    import_id = await house.receive(encode(".xlsx", [house.row(i) for i in range(1_200)]))
    await house.imports.check(T, import_id)
    record = await house.imports.apply(T, import_id)
    assert record.state is State.FINISHED
    assert (record.applied, record.not_applied, record.already) == (1_200, 0, 0)
    assert record.awaiting == 1_200, "no mandate covers them: people must sign"
    paid = await house.paid()
    assert len(paid) == 1_200
    assert {row.import_id for row in paid} == {import_id}
    assert record.applied_fen == sum(row.amount_fen for row in paid) == await house.held_fen()
    chunks = await house.imports.applied(T, import_id)
    mapped = {n: i for c in chunks for n, i in zip(c.row_nos, c.payment_ids, strict=True)}
    assert len(mapped) == 1_200
    assert set(mapped.values()) == {row.payment_id for row in paid}


async def test_the_same_file_again_is_answered_with_the_first_result(house: House) -> None:
    data = encode(".csv", [house.row(i) for i in range(10)])
    import_id = await house.receive(data, "一.csv")
    await house.imports.check(T, import_id)
    first = await house.imports.apply(T, import_id)
    again, before = await house.imports.receive(
        T, data, file_name="二.csv", caller=house.ids.new(), actor="person:Chen"
    )
    assert before and again.import_id == import_id and again.file_name == "一.csv"
    assert (await house.imports.check(T, import_id)).state is State.FINISHED
    assert await house.imports.apply(T, import_id) == await house.imports.get(T, import_id)
    assert (await house.imports.get(T, import_id)).applied == first.applied == 10
    assert len(await house.paid()) == 10


async def test_a_file_with_bad_rows_is_applied_only_when_asked(house: House) -> None:
    rows = [house.row(0), house.row(1, payee_name=""), house.row(2)]
    import_id = await house.receive(encode(".csv", rows))
    await house.imports.check(T, import_id)
    with pytest.raises(Refused) as caught:
        await house.imports.apply(T, import_id)
    assert caught.value.code == "imports.has_bad_rows"
    assert await house.paid() == []
    record = await house.imports.apply(T, import_id, skip_bad=True)
    assert (record.applied, record.not_applied) == (2, 1)
    (told,) = await house.imports.rows(T, import_id)
    assert (told.row_no, told.status) == (3, Status.BAD)
    assert told.problems[0].code == "imports.name_blank"


async def test_a_mended_file_pays_only_what_was_not_paid(house: House) -> None:
    rows = [house.row(0), house.row(1, payee_name=""), house.row(2)]
    first = await house.receive(encode(".csv", rows))
    await house.imports.check(T, first)
    await house.imports.apply(T, first, skip_bad=True)
    mended = await house.receive(encode(".csv", [house.row(i) for i in range(3)]))
    assert mended != first
    await house.imports.check(T, mended)
    record = await house.imports.apply(T, mended)
    assert (record.applied, record.already, record.not_applied) == (1, 2, 0)
    assert len(await house.paid()) == 3
    told = await house.imports.rows(T, mended)
    assert [(t.row_no, t.status) for t in told] == [(2, Status.ALREADY), (4, Status.ALREADY)]
    assert all(t.payment_id for t in told)


async def test_a_key_with_other_content_is_refused_by_name(house: House) -> None:
    first = await house.receive(encode(".csv", [house.row(0)]))
    await house.imports.check(T, first)
    await house.imports.apply(T, first)
    second = await house.receive(encode(".csv", [house.row(0, amount="7.00")]))
    await house.imports.check(T, second)
    record = await house.imports.apply(T, second)
    assert (record.applied, record.not_applied) == (0, 1)
    (told,) = await house.imports.rows(T, second)
    assert told.status is Status.REFUSED
    assert told.problems[0].code == "payment.key_reused"


async def test_rows_without_a_key_that_look_paid_are_held_back(house: House) -> None:
    rows = [house.row(i, row_key="") for i in range(3)]
    first = await house.receive(encode(".csv", rows))
    await house.imports.check(T, first)
    await house.imports.apply(T, first)
    again = [*rows, house.row(3, row_key="")]
    second = await house.receive(encode(".csv", again))
    record = await house.imports.check(T, second)
    assert (report_of(record).good.rows, report_of(record).duplicates) == (1, 3)
    with pytest.raises(Refused):
        await house.imports.apply(T, second)
    record = await house.imports.apply(T, second, skip_bad=True)
    assert (record.applied, record.not_applied) == (1, 3)
    assert len(await house.paid()) == 4
    assert {t.problems[0].code for t in await house.imports.rows(T, second)} == {
        "imports.looks_paid"
    }


async def test_a_person_may_insist_on_paying_alike_rows(house: House) -> None:
    rows = [house.row(0, row_key=""), house.row(0, row_key="")]
    import_id = await house.receive(encode(".csv", rows))
    assert report_of(await house.imports.check(T, import_id)).duplicates == 1
    record = await house.imports.apply(T, import_id, allow_duplicates=True)
    assert (record.applied, record.not_applied) == (2, 0)


async def test_a_key_that_comes_twice_is_refused_the_second_time(house: House) -> None:
    rows = [house.row(0), house.row(1, row_key="2026-000000")]
    import_id = await house.receive(encode(".csv", rows))
    report = report_of(await house.imports.check(T, import_id))
    assert (report.good.rows, report.bad) == (1, 1)
    assert report.first_problems[0].problems[0].code == "imports.row_key_doubled"
    assert "row 2" in report.first_problems[0].problems[0].detail


async def test_small_numbers_as_keys_count_rows_of_one_file_only(house: House) -> None:
    for amount in ("1.00", "2.00"):
        rows = [house.row(i, row_key=str(i + 1), amount=amount) for i in range(3)]
        import_id = await house.receive(encode(".csv", rows))
        await house.imports.check(T, import_id)
        assert (await house.imports.apply(T, import_id)).applied == 3
    assert len(await house.paid()) == 6


async def test_what_intake_refuses_is_reported_and_can_be_tried_again(house: House) -> None:
    rows = [house.row(0, amount=f"{OPENING_FEN // 100 - 10}.00"), house.row(37, amount="20.00")]
    import_id = await house.receive(encode(".csv", rows))
    await house.imports.check(T, import_id)
    record = await house.imports.apply(T, import_id)
    assert (record.applied, record.not_applied) == (1, 1)
    (told,) = await house.imports.rows(T, import_id)
    assert (told.row_no, told.status) == (3, Status.REFUSED)
    assert told.problems[0].code == "ledger.insufficient" and told.problems[0].cure

    (paid,) = await house.paid()
    async with house.database.transaction() as tx:
        (outcome,) = await house.ledger.void_many(
            tx, T, [Void(hold_id=paid.payment_id, at=house.clock.now())]
        )
    assert outcome
    record = await house.imports.apply(T, import_id, retry=True)
    assert (record.applied, record.not_applied) == (2, 0)
    assert len(await house.paid()) == 2
    assert await house.imports.rows(T, import_id) == []


async def test_an_account_that_has_too_little_is_told_before_anything_is_applied(
    house: House,
) -> None:
    rows = [house.row(0, amount="900000.00"), house.row(37, amount="200000.00"), house.row(1)]
    import_id = await house.receive(encode(".csv", rows))
    report = report_of(await house.imports.check(T, import_id))
    (short,) = report.shortfalls
    assert (short.unit, short.needed_fen, short.available_fen) == ("u00", 110_000_000, OPENING_FEN)
    assert short.account == "…6454"
    assert (report.good.rows, report.bad) == (3, 0)


async def test_totals_are_left_out_and_a_wrong_total_is_said(house: House) -> None:
    text = encode(".csv", [house.row(0), house.row(1)]).decode("utf-8-sig")
    blanks = ["合计"] + [""] * (text.splitlines()[0].split(",").index("金额(元)") - 1)
    import_id = await house.receive((text + ",".join([*blanks, "3.01"])).encode("gbk"))
    report = report_of(await house.imports.check(T, import_id))
    assert (report.good.rows, report.left_out) == (2, 1)
    assert not any("total" in note for note in report.notes)
    import_id = await house.receive((text + ",".join([*blanks, "4.01"])).encode("gbk"))
    report = report_of(await house.imports.check(T, import_id))
    assert any("says 4.01; the rows sum to 3.01" in note for note in report.notes)
    record = await house.imports.apply(T, import_id)
    assert (record.applied, record.left_out) == (2, 1)


async def test_repairs_are_told_after_applying_too(house: House) -> None:
    import_id = await house.receive(encode(".csv", [house.row(0, amount="123.62999999")]))
    assert report_of(await house.imports.check(T, import_id)).noted == 1
    await house.imports.apply(T, import_id)
    (told,) = await house.imports.rows(T, import_id)
    (paid,) = await house.paid()
    assert told.status is Status.NOTED and told.payment_id == paid.payment_id
    assert paid.amount_fen == 12363


# ---------------------------------------------------------------------------------- refusals


async def test_an_unusable_file_says_why_and_can_be_read_about(house: House) -> None:
    import_id = await house.receive(b"%PDF-1.7")
    record = await house.imports.check(T, import_id)
    assert record.state is State.UNUSABLE
    assert record.error and record.error.code == "imports.not_a_list" and record.error.cure
    with pytest.raises(Refused) as caught:
        await house.imports.apply(T, import_id)
    assert caught.value.code == "imports.not_a_list"


async def test_a_message_that_does_not_add_up_is_never_applied(house: House) -> None:
    import_id = await house.receive(message(transfer(), count=2, day="<Dt>2026-07-03</Dt>"))
    assert report_of(await house.imports.check(T, import_id)).faults
    with pytest.raises(Refused) as caught:
        await house.imports.apply(T, import_id, skip_bad=True)
    assert caught.value.code == "imports.transaction_count"


async def test_applying_before_checking_is_refused(house: House) -> None:
    import_id = await house.receive(encode(".csv", [house.row(0)]))
    with pytest.raises(Refused) as caught:
        await house.imports.apply(T, import_id)
    assert caught.value.code == "imports.not_checked"


async def test_another_tenants_import_is_not_found(house: House) -> None:
    import_id = await house.receive(encode(".csv", [house.row(0)]))
    for act in (house.imports.get, house.imports.check, house.imports.apply):
        with pytest.raises(NotFound):
            await act("other", import_id)


async def test_every_refusal_is_recorded(house: House) -> None:
    import_id = await house.receive(b"%PDF-1.7")
    await house.imports.check(T, import_id)
    with pytest.raises(Refused):
        await house.imports.apply(T, import_id)
    async with house.database.transaction() as tx:
        events = await house.audit.timeline(tx, T, import_id)
    kinds = [event.kind for event in events]
    assert kinds.count("import.refused") == 1
    assert "import.received" in kinds and "import.apply.refused" in kinds


async def test_the_kept_file_is_sealed(house: House) -> None:
    import_id = await house.receive(encode(".csv", [house.row(0)]))
    async with house.database.transaction() as tx:
        parts = await house.store.file(tx, T, import_id)
    assert parts and "供应商".encode() not in b"".join(parts)


# ---------------------------------------------------------------------------------- broken off


def rows_of(house: House, count: int = 2_000) -> bytes:
    return encode(".csv", [house.row(i) for i in range(count)])


async def gone_on(house: House, import_id: object) -> None:
    """A worker starts after the lease ran out; afterwards all is as if nothing had happened."""
    house.clock.advance(6)  # type: ignore[attr-defined]
    (record,) = await house.new_imports().resume(T)
    assert record.import_id == import_id
    assert record.state is State.FINISHED
    assert (record.applied, record.not_applied, record.already) == (2_000, 0, 0)
    paid = await house.paid()
    assert len(paid) == 2_000
    assert len({row.key for row in paid}) == 2_000
    assert record.applied_fen == await house.held_fen()


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_killed_around_a_batch_it_goes_on_and_pays_nothing_twice(
    house: House, moment: str
) -> None:
    import_id = await house.receive(rows_of(house))
    await house.imports.check(T, import_id)

    def crash(call: int) -> None:
        if call == 3:
            raise Crash

    setattr(house.door, moment, crash)
    with pytest.raises(Crash):
        await house.imports.apply(T, import_id)
    setattr(house.door, moment, lambda call: None)
    half = await house.imports.get(T, import_id)
    assert half.state is State.APPLYING
    assert half.rows_done == 1_000
    assert len(await house.paid()) == (1_000 if moment == "before" else 1_500)
    with pytest.raises(Conflict):
        await house.imports.apply(T, import_id)  # the lease of the dead runner lasts a moment
    await gone_on(house, import_id)


async def test_a_lost_answer_of_the_database_is_asked_again_with_the_same_keys(
    house: House,
) -> None:
    import_id = await house.receive(rows_of(house, 600))
    await house.imports.check(T, import_id)
    lost: list[int] = []

    def lose(call: int) -> None:
        if not lost:
            lost.append(call)
            raise InDoubt("db.commit_unknown", "The connection broke while committing.")

    house.door.after = lose
    record = await house.imports.apply(T, import_id)
    assert (record.applied, record.already) == (600, 0)
    assert len(await house.paid()) == 600


async def test_an_outage_stops_the_import_and_applying_again_does_the_rest(house: House) -> None:
    import_id = await house.receive(rows_of(house))
    await house.imports.check(T, import_id)

    def down(call: int) -> None:
        if call >= 2:
            raise Unavailable("db.unavailable", "The database does not answer.", "Try again.")

    house.door.before = down
    with pytest.raises(Unavailable):
        await house.imports.apply(T, import_id)
    stopped = await house.imports.get(T, import_id)
    assert stopped.state is State.STOPPED
    assert stopped.error and stopped.error.code == "db.unavailable"
    assert stopped.applied == 500
    house.door.before = lambda call: None
    record = await house.imports.apply(T, import_id)
    assert (record.state, record.applied, record.error) == (State.FINISHED, 2_000, None)
    assert len(await house.paid()) == 2_000


async def test_a_runner_that_was_replaced_cannot_write(house: House) -> None:
    import_id = await house.receive(rows_of(house))
    await house.imports.check(T, import_id)
    others: list[object] = []

    async def take_over() -> None:
        async with house.database.transaction() as tx:
            later = house.clock.now().replace(year=2027)
            others.append(await house.store.claim(tx, T, import_id, later, later))

    original = house.door.submit_many

    async def submit_many(*args: object, **kwargs: object) -> object:
        answers = await original(*args, **kwargs)  # type: ignore[arg-type]
        if not others:
            await take_over()
        return answers

    house.door.submit_many = submit_many  # type: ignore[method-assign, assignment]
    with pytest.raises(Conflict) as caught:
        await house.imports.apply(T, import_id)
    assert caught.value.code == "imports.taken_over"
    assert others[0] is not None


# ---------------------------------------------------------------------------------- progress


async def test_progress_moves_forward_with_an_estimate_and_can_be_read_by_others(
    house: House,
) -> None:
    import_id = await house.receive(rows_of(house))
    await house.imports.check(T, import_id)
    heard: list[Progress] = []
    house.door.after = lambda call: house.clock.advance(1.0)  # type: ignore[attr-defined]
    await house.imports.apply(T, import_id, hear=heard.append)
    done = [p.rows_done for p in heard]
    assert done == sorted(done) and done[0] == 0 and done[-1] == 2_000
    assert {p.rows_total for p in heard[1:]} == {2_000}
    middle = next(p for p in heard if p.rows_done == 1_000)
    assert middle.rows_per_second == pytest.approx(500, rel=0.01)
    assert middle.seconds_left == pytest.approx(2.0, rel=0.01)
    assert heard[-1].seconds_left == 0.0
    assert (await house.imports.progress(T, import_id)).rows_done == 2_000


async def test_imports_are_listed_newest_first(house: House) -> None:
    ids = []
    for i in range(3):
        ids.append(await house.receive(encode(".csv", [house.row(i)])))
        house.clock.advance(1)  # type: ignore[attr-defined]
    page = await house.imports.page(T, limit=2)
    assert [record.import_id for record in page] == ids[:0:-1]
    rest = await house.imports.page(T, before=page[-1].import_id)
    assert [record.import_id for record in rest] == ids[:1]
