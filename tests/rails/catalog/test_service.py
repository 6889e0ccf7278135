"""How the catalog changes: by people, by networks, never by one person where more would pass."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import asyncpg
import pytest

from caiwutong.approvals.model import Decided
from caiwutong.kernel.clock import CHINA, china_midnight
from caiwutong.kernel.errors import NotFound, Refused
from caiwutong.rails.catalog import Closed, Open, Unknown
from caiwutong.rails.catalog.changes import ChangeState
from caiwutong.rails.catalog.model import (
    Band,
    Fee,
    Holidays,
    Hours,
    Limit,
    Maintenance,
    SystemDay,
    Tariff,
    Withdrawal,
)
from caiwutong.rails.contract import Notice, NoticeKind
from rails.catalog.conftest import Scene
from support.house import TENANT, House

DAY = date(2026, 12, 1)


def at(day: date, hour: int = 0, minute: int = 0) -> datetime:
    return datetime.combine(day, time(hour, minute), CHINA)


def limit(fen: int | None, day: date = DAY, rail: str = "ibps", **more: object) -> Limit:
    return Limit(
        rail=rail, valid_from=at(day), per_payment_fen=fen, source="银发〔2026〕1号", **more
    )  # type: ignore[arg-type]


def outage(start: datetime, hours: int, **more: object) -> Maintenance:
    return Maintenance(
        rail="beps", valid_from=start, valid_until=start + timedelta(hours=hours),
        words="停运维护", source="公告", **more,
    )  # type: ignore[arg-type]  # fmt: skip


def notice(kind: NoticeKind, message_id: str = "2026112300000001", **more: object) -> Notice:
    now = datetime(2026, 11, 23, 2, tzinfo=UTC)
    facts: dict[str, object] = {"rail": "beps", "at": now, "effective_from": now, "words": "通知"}
    return Notice(kind=kind, message_id=message_id, **(facts | more))  # type: ignore[arg-type]


async def test_a_lower_limit_counts_at_once_and_from_its_day_on(scene: Scene) -> None:
    change = await scene.propose(limit(500_000_00))
    assert change.state is ChangeState.APPLIED and change.needed == 0
    before = scene.now.limit_on("ibps", at(DAY) - timedelta(seconds=1))
    after = scene.now.limit_on("ibps", at(DAY))
    assert before and before.per_payment_fen == 1_000_000_00
    assert after and after.per_payment_fen == 500_000_00
    assert after.source == "银发〔2026〕1号"


async def test_a_higher_limit_waits_for_another_person(scene: Scene) -> None:
    change = await scene.propose(limit(2_000_000_00))
    assert change.state is ChangeState.WAITING and change.needed == 1
    assert "2,000,000.00 CNY a payment from 2026-12-01" in change.because[0]
    assert scene.now.version == 0

    with pytest.raises(Refused) as refused:
        await scene.sign(change, scene.maker)
    assert refused.value.code == "approvals.maker_may_not_sign"

    assert await scene.sign(change, scene.checker) == Decided()
    found = scene.now.limit_on("ibps", at(DAY))
    assert found and found.per_payment_fen == 2_000_000_00
    assert (await scene.read(change)).state is ChangeState.APPLIED


@pytest.mark.parametrize(
    ("fact", "why"),
    [
        (limit(None), "no limit"),
        (limit(5_00, rail="new_rail"), "new_rail would carry"),
        (
            Hours(rail="hvps", valid_from=at(DAY), around_the_clock=True, source="公告"),
            "hours of hvps",
        ),
        (
            SystemDay(
                rail="hvps", valid_from=at(DAY), day=date(2026, 12, 5), working=True, source="x"
            ),
            "open on 2026-12-05",
        ),
        (
            Withdrawal(rail="", valid_from=at(DAY), withdraws="hvps.hours.3", source="x"),
            "taken back",
        ),
    ],
)  # fmt: skip
async def test_what_lets_more_through_needs_a_second_person(
    scene: Scene, fact: object, why: str
) -> None:
    change = await scene.propose(fact)
    assert change.state is ChangeState.WAITING
    assert why in "; ".join(change.because)


async def test_an_outage_counts_at_once_and_calling_it_off_needs_another_person(
    scene: Scene,
) -> None:
    start = at(DAY, 1)
    change = await scene.propose(outage(start, 4))
    closed = scene.now.open_at("beps", start)
    assert isinstance(closed, Closed) and closed.why == "maintenance"
    assert closed.until == start + timedelta(hours=4)
    (fact,) = change.facts

    off = await scene.propose(
        Withdrawal(rail="", valid_from=start, withdraws=fact.fact_id, source="取消公告")
    )
    assert isinstance(scene.now.open_at("beps", start), Closed)
    await scene.sign(off, scene.checker)
    assert isinstance(scene.now.open_at("beps", start), Open)


async def test_a_limit_taken_back_is_judged_by_what_then_passes(scene: Scene) -> None:
    lower = await scene.propose(limit(500_000_00))
    back = await scene.propose(
        Withdrawal(rail="", valid_from=at(DAY), withdraws=lower.facts[0].fact_id, source="更正")
    )
    assert back.state is ChangeState.WAITING
    assert "1,000,000.00" in back.because[0]


async def test_a_tariff_needs_nobody_else(scene: Scene) -> None:
    bands = (Band(up_to_fen=100_00, flat_fen=1_00), Band(rate_ppm=20, cap_fen=50_00))
    change = await scene.propose(
        Tariff(rail="ibps", bank="308", valid_from=at(DAY), bands=bands, source="协议价")
    )
    assert change.state is ChangeState.APPLIED
    fees = [scene.now.fee("308290092012", "ibps", fen, at(DAY)) for fen in (100_00, 2_000_000_00)]
    assert [fee.fen for fee in fees if isinstance(fee, Fee)] == [1_00, 40_00]
    assert isinstance(scene.now.fee("102100099996", "ibps", 100_00, at(DAY)), Unknown)


def days_off(year: int, *free: date, worked: tuple[date, ...] = ()) -> Holidays:
    return Holidays(
        rail="", valid_from=at(DAY), source="通知", year=year, version=f"{year}",
        free=dict.fromkeys(free, "假日"), worked=worked,
    )  # fmt: skip


async def test_the_notice_of_an_unknown_year_counts_at_once_and_makes_it_certain(
    scene: Scene,
) -> None:
    monday = date(2027, 3, 1)
    assert scene.now.look("hvps", monday).provisional
    change = await scene.propose(days_off(2027, date(2027, 1, 1), worked=(date(2027, 1, 9),)))
    assert change.state is ChangeState.APPLIED
    assert not scene.now.look("hvps", monday).provisional
    assert isinstance(scene.now.open_at("hvps", at(date(2027, 1, 9), 10)), Open)
    assert (
        scene.now.known_at(scene.clock.now() - timedelta(days=1)).look("hvps", monday).provisional
    )


async def test_a_notice_that_opens_days_known_to_be_free_needs_another_person(
    scene: Scene,
) -> None:
    change = await scene.propose(days_off(2026, date(2026, 12, 31)))
    assert change.state is ChangeState.WAITING
    assert "more days off would be worked" in change.because[0]


async def test_a_withdrawn_proposal_never_counts(scene: Scene) -> None:
    change = await scene.propose(limit(2_000_000_00))
    async with scene.house.transaction() as tx:
        taken = await scene.catalogs.withdraw(tx, TENANT, change.change_id, "person:陈静")
    assert taken.state is ChangeState.WITHDRAWN
    with pytest.raises(NotFound):
        await scene.sign(change, scene.checker)
    assert scene.now.version == 0


async def test_what_counts_cannot_be_withdrawn_as_a_proposal(scene: Scene) -> None:
    change = await scene.propose(limit(500_000_00))
    with pytest.raises(Refused) as refused:
        async with scene.house.transaction() as tx:
            await scene.catalogs.withdraw(tx, TENANT, change.change_id, "person:陈静")
    assert refused.value.code == "catalog.applied"


async def test_a_dry_run_answers_the_same_and_keeps_nothing(scene: Scene) -> None:
    would = await scene.propose(limit(500_000_00), dry_run=True)
    assert would.state is ChangeState.APPLIED
    assert scene.now.version == 0
    with pytest.raises(NotFound):
        await scene.read(would)
    assert await scene.other.refresh() == 0


async def test_another_process_sees_a_change_with_its_next_look(scene: Scene) -> None:
    await scene.propose(limit(500_000_00))
    await scene.propose(outage(at(DAY, 1), 4))
    assert scene.other.current(TENANT).version == 0
    assert await scene.other.refresh() == 1
    assert scene.other.current(TENANT).facts == scene.now.facts
    assert scene.other.current(TENANT).version == scene.now.version == 2
    assert await scene.other.refresh() == 0


async def test_a_process_that_is_behind_judges_by_what_is_recorded(scene: Scene) -> None:
    """The other process lowered the limit; going back up to the old one is widening."""
    await scene.other.propose(
        TENANT, [limit(500_000_00)], reason="r", maker=scene.maker.person_id, actor="a"
    )
    change = await scene.propose(limit(1_000_000_00, DAY + timedelta(days=1)))
    assert change.state is ChangeState.WAITING


async def test_another_tenant_knows_nothing_of_it(scene: Scene) -> None:
    await scene.propose(limit(500_000_00))
    assert scene.catalogs.current("other").version == 0
    async with scene.house.transaction() as tx:
        assert await scene.catalogs.changes(tx, "other") == []


async def test_changes_are_listed_newest_first_and_told_to_the_log(scene: Scene) -> None:
    first = await scene.propose(limit(500_000_00), reason="第一次")
    scene.clock.advance(1)
    second = await scene.propose(limit(2_000_000_00), reason="第二次")
    async with scene.house.transaction() as tx:
        found = await scene.catalogs.changes(tx, TENANT)
        older = await scene.catalogs.changes(tx, TENANT, second.change_id, 10)
    assert [c.reason for c in found] == ["第二次", "第一次"]
    assert [c.reason for c in older] == ["第一次"]
    told = await scene.house.told(first.change_id)
    assert [e.kind for e in told] == ["catalog.changed"]
    assert told[0].data()["facts"][0]["source"] == "银发〔2026〕1号"
    assert [e.kind for e in await scene.house.told(second.change_id)] == ["catalog.proposed"]


class TestNotices:
    async def test_a_limit_notice_counts_once_at_its_time(self, scene: Scene) -> None:
        start, end = at(date(2027, 2, 5)), at(date(2027, 2, 12))
        news = notice(
            NoticeKind.LIMIT, effective_from=start, effective_until=end,
            limit_fen=500_000_000_00,
        )  # fmt: skip
        (change,) = await scene.catalogs.hear(TENANT, [news])
        assert change.state is ChangeState.APPLIED
        assert await scene.catalogs.hear(TENANT, [news]) == []
        assert await scene.other.hear(TENANT, [news]) == []
        limits = [
            scene.now.limit_on("beps", moment)
            for moment in (start - timedelta(seconds=1), start, end)
        ]
        assert [each and each.per_payment_fen for each in limits] == [
            1_000_000_00, 500_000_000_00, 1_000_000_00,
        ]  # fmt: skip

    async def test_an_outage_announced_closes_the_rail(self, scene: Scene) -> None:
        start = at(DAY, 2)
        news = notice(NoticeKind.OUTAGE, effective_from=start, words="系统升级")
        await scene.catalogs.hear(TENANT, [news])
        closed = scene.now.open_at("beps", start)
        assert closed == Closed(None, "maintenance", "系统升级")
        ahead = scene.now.open_at("beps", at(DAY, 1))
        assert isinstance(ahead, Open) and ahead.until == start

    async def test_the_networks_day_stands_before_the_calendar(self, scene: Scene) -> None:
        saturday = date(2026, 12, 5)
        news = notice(NoticeKind.SYSTEM_DAY, rail="hvps", day=saturday, working_day=True)
        assert isinstance(scene.now.open_at("hvps", at(saturday, 10)), Closed)
        await scene.catalogs.hear(TENANT, [news])
        assert isinstance(scene.now.open_at("hvps", at(saturday, 10)), Open)

    async def test_an_ordinary_system_day_is_not_recorded(self, scene: Scene) -> None:
        news = notice(NoticeKind.SYSTEM_DAY, rail="hvps", day=DAY, working_day=True)
        assert await scene.catalogs.hear(TENANT, [news]) == []
        assert scene.now.version == 0

    async def test_a_system_day_makes_a_provisional_day_certain(self, scene: Scene) -> None:
        monday = date(2027, 3, 1)
        assert scene.now.look("hvps", monday).provisional
        news = notice(NoticeKind.SYSTEM_DAY, rail="hvps", day=monday, working_day=True)
        await scene.catalogs.hear(TENANT, [news])
        assert not scene.now.look("hvps", monday).provisional

    async def test_several_messages_of_one_moment_all_count(self, scene: Scene) -> None:
        first = notice(NoticeKind.OUTAGE, "M1", effective_from=at(DAY, 2))
        second = notice(NoticeKind.LIMIT, "M2", limit_fen=1_00)
        nonsense = notice(
            NoticeKind.OUTAGE, "M3", effective_from=at(DAY, 2), effective_until=at(DAY, 1)
        )
        applied = await scene.catalogs.hear(TENANT, [nonsense, first, second])
        assert [c.message_key[-2:] for c in applied] == ["M1", "M2"]
        assert scene.now.version == 2
        await scene.other.refresh()
        assert scene.other.current(TENANT).facts == scene.now.facts


class TestRefusals:
    @pytest.mark.parametrize(
        ("fact", "field"),
        [
            (limit(-1), "per_payment_fen"),
            (limit(1, rail="IBPS!"), "rail"),
            (limit(1, bank="30a"), "bank"),
            (limit(1, valid_until=at(DAY)), "valid_until"),
            (limit(1, fact_id="mine"), "fact_id"),
            (limit(1, date(1980, 1, 1)), "valid_from"),
            (Limit(rail="ibps", valid_from=datetime(2026, 1, 1), per_payment_fen=1, source="x"),
             "valid_from"),
            (Limit(rail="ibps", valid_from=at(DAY), per_payment_fen=1, source=" "), "source"),
            (Hours(rail="hvps", valid_from=at(DAY), opens=time(9), closes=time(8), source="x"),
             "closes"),
            (Tariff(rail="ibps", valid_from=at(DAY), bands=(), source="x"), "bands"),
            (Tariff(rail="ibps", valid_from=at(DAY), source="x",
                    bands=(Band(up_to_fen=2), Band(up_to_fen=1))), "bands"),
        ],
    )  # fmt: skip
    async def test_a_fact_that_says_nothing_sensible(
        self, scene: Scene, fact: object, field: str
    ) -> None:
        with pytest.raises(Refused) as refused:
            await scene.propose(fact)
        assert refused.value.code == "catalog.bad_fact"
        assert refused.value.facts["field"] == field
        assert scene.now.version == 0

    async def test_a_change_without_a_reason_or_facts(self, scene: Scene) -> None:
        for facts, reason, code in (
            ([], "r", "catalog.no_facts"),
            ([limit(1)], " ", "catalog.no_reason"),
        ):
            with pytest.raises(Refused) as refused:
                await scene.propose(*facts, reason=reason)
            assert refused.value.code == code

    async def test_only_a_fact_that_stands_can_be_taken_back(self, scene: Scene) -> None:
        with pytest.raises(Refused) as refused:
            await scene.propose(
                Withdrawal(rail="", valid_from=at(DAY), withdraws="nothing", source="x")
            )
        assert refused.value.code == "catalog.no_such_fact"


class TestDatabaseGuards:
    async def test_facts_do_not_count_before_another_person_signed(
        self, postgres_house: House
    ) -> None:
        scene = await Scene(postgres_house).open()
        change = await scene.propose(limit(2_000_000_00))
        with pytest.raises(asyncpg.CheckViolationError, match="needs another person"):
            async with scene.house.transaction() as tx:
                await scene.store.lock(tx, TENANT)
                await scene.store.apply(tx, TENANT, change, change.facts, 1, china_midnight(DAY))

    @pytest.mark.parametrize(
        "sql",
        [
            "UPDATE catalog_facts SET rail = 'x'",
            "DELETE FROM catalog_facts",
            "UPDATE catalog_changes SET needed = 0",
            "DELETE FROM catalog_changes",
            "DELETE FROM catalog_versions",
        ],
    )
    async def test_nothing_is_edited_or_removed(
        self, postgres_house: House, database_url: str, sql: str
    ) -> None:
        scene = await Scene(postgres_house).open()
        await scene.propose(limit(500_000_00))
        owner = await asyncpg.connect(database_url)
        try:
            with pytest.raises(asyncpg.RestrictViolationError):
                await owner.execute(sql)
            with pytest.raises(asyncpg.RestrictViolationError):
                await owner.execute("UPDATE catalog_versions SET version = 9")
        finally:
            await owner.close()
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with postgres_house.transaction() as tx:
                await tx.execute(sql)
