"""The State Council's notice, read as it is published and checked against itself."""

from __future__ import annotations

import contextlib
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caiwutong.kernel.business_days import Calendar, default_calendar
from caiwutong.kernel.errors import Refused
from caiwutong.rails.catalog.holidays import read_csv, read_notice
from caiwutong.rails.catalog.model import Holidays
from caiwutong.rails.catalog.rules import Catalog

PUBLISHED = datetime(2025, 11, 4, tzinfo=UTC)
NOTICE_2026 = """\
国务院办公厅关于2026年部分节假日安排的通知
国办发明电〔2025〕7号

各省、自治区、直辖市人民政府,国务院各部委、各直属机构：
    经国务院批准,现将2026年元旦、春节等节日放假调休日期的具体安排通知如下。
    一、元旦：1月1日（周四）至3日（周六）放假调休,共3天。1月4日（周日）上班。
    二、春节：2月15日（农历腊月二十八、周日）至23日（农历正月初七、周一）放假调休,共9天。2月14日（周六）、2月28日（周六）上班。
    三、清明节：4月4日（周六）至6日（周一）放假,共3天。
    四、劳动节：5月1日（周五）至5日（周二）放假调休,共5天。5月9日（周六）上班。
    五、端午节：6月19日（周五）至21日（周日）放假,共3天。
    六、中秋节：9月25日（周五）至27日（周日）放假,共3天。
    七、国庆节：10月1日（周四）至7日（周三）放假调休,共7天。9月20日（周日）、10月10日（周六）上班。
    节假日期间,各地区、各部门要妥善安排好值班和安全、保卫等工作。
国务院办公厅
2025年11月4日
"""
EMPTY = Calendar("nothing", frozenset(), {}, {})


def notice(year: int, *items: str) -> str:
    return "\n".join([f"国务院办公厅关于{year}年部分节假日安排的通知", *items])


def test_the_notice_of_2026_gives_the_days_we_know() -> None:
    found = read_notice(NOTICE_2026, EMPTY, PUBLISHED)
    assert (found.year, found.version, found.amends) == (2026, "国办发明电〔2025〕7号", False)
    assert [f"{day:%m-%d}" for day in found.worked] == [
        "01-04", "02-14", "02-28", "05-09", "09-20", "10-10",
    ]  # fmt: skip
    assert len(found.free) == 3 + 9 + 3 + 5 + 3 + 3 + 7
    calendar = Catalog([found], calendar=EMPTY).calendar
    known = default_calendar()
    for day in (date.fromordinal(date(2026, 1, 1).toordinal() + n) for n in range(365)):
        assert calendar.is_working(day) == known.is_working(day), day
        assert not calendar.look(day).provisional


@pytest.mark.parametrize(
    ("item", "free", "worked"),
    [
        ("一、元旦：2022年12月31日至2023年1月2日放假调休，共3天。",
         ["2022-12-31", "2023-01-01", "2023-01-02"], []),
        ("一、元旦：1月1日放假，与周末连休。", ["2023-01-01"], []),
        ("（一）清明节：4月5日（星期三）放假1天。", ["2023-04-05"], []),
        ("二、端午节：６月22日至24日放假公休，共3天。6月25日（星期日）上班。",
         ["2023-06-22", "2023-06-23", "2023-06-24"], ["2023-06-25"]),
        ("三、国庆节：10月1日至3日放假调休，共3天。10月7日（星期六）、8日（星期日）上班。",
         ["2023-10-01", "2023-10-02", "2023-10-03"], ["2023-10-07", "2023-10-08"]),
    ],
)  # fmt: skip
def test_the_forms_of_other_years(item: str, free: list[str], worked: list[str]) -> None:
    found = read_notice(notice(2023, item), EMPTY, PUBLISHED)
    assert [d.isoformat() for d in found.free] == free
    assert [d.isoformat() for d in found.worked] == worked


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ("一、元旦：1月1日（周五）放假。", "is a 星期四, and the notice says 星期五"),
        ("一、元旦：1月1日至3日放假，共4天。", "it counts 4 days, and names 3"),
        ("一、元旦：1月1日至3日放假，共3天。1月5日上班。", "is no weekend day"),
        ("一、元旦：2月30日放假。", "is no date"),
        ("一、元旦：1月3日至1日放假。", "comes after"),
        ("一、1月1日放假。", "no name"),
        ("一、元旦：1月1日左右休假并补班调休。", "no days off or worked were recognised"),
    ],
)
def test_a_line_that_is_not_understood_is_named(item: str, words: str) -> None:
    with pytest.raises(Refused) as refused:
        read_notice(notice(2026, "各地：", item), EMPTY, PUBLISHED)
    assert refused.value.code == "catalog.notice_not_understood"
    (line,) = refused.value.facts["lines"]
    assert line["line"] == 3
    assert words in line["words"]


def test_a_text_that_is_no_notice() -> None:
    for text in ("", "你好", "国务院办公厅关于2026年部分节假日安排的通知\n节日快乐。"):
        with pytest.raises(Refused):
            read_notice(text, EMPTY, PUBLISHED)


def test_a_change_in_mid_year_touches_only_the_days_it_names() -> None:
    """The Spring Festival of 2020, as it was known before 27 January and after."""
    before = read_notice(
        notice(2020, "二、春节：1月24日至30日放假调休，共7天。"
               "1月19日（星期日）、2月1日（星期六）上班。",
               "三、清明节：4月4日至6日放假调休，共3天。"),
        EMPTY, datetime(2019, 11, 21, tzinfo=UTC),
    )  # fmt: skip
    known = Catalog([before], calendar=EMPTY)
    change = read_notice(
        "国务院办公厅关于延长2020年春节假期的通知\n"
        "一、延长2020年春节假期至2月2日（农历正月初九，星期日），2月3日（星期一）起正常上班。\n"
        "二、各地大专院校、中小学、幼儿园推迟开学，具体时间由教育部门另行通知。\n",
        known.calendar, datetime(2020, 1, 26, tzinfo=UTC),
    )  # fmt: skip
    assert change.amends
    assert [d.isoformat() for d in change.free] == ["2020-01-31", "2020-02-01", "2020-02-02"]
    after = Catalog([before, change], calendar=EMPTY)
    days = [date(2020, 1, 31), date(2020, 2, 1), date(2020, 2, 3), date(2020, 4, 6)]
    assert [known.calendar.is_working(d) for d in days] == [True, True, True, False]
    assert [after.calendar.is_working(d) for d in days] == [False, False, True, False]
    assert after.calendar.is_working(date(2020, 1, 19))


def test_a_longer_holiday_that_is_not_known_is_not_guessed() -> None:
    text = "国务院办公厅关于延长2020年春节假期的通知\n一、延长2020年春节假期至2月2日。"
    with pytest.raises(Refused, match="could be longer"):
        read_notice(text, EMPTY, PUBLISHED)


def test_days_as_csv() -> None:
    text = "date,kind,name\n2027-01-01,off,元旦\n2027-01-02,off,元旦\n2027-01-10,worked,\n"
    found = read_csv(text, "国办发明电〔2026〕9号", PUBLISHED)
    assert found.year == 2027 and found.worked == (date(2027, 1, 10),)
    assert found.free[date(2027, 1, 1)] == "元旦"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("2027-13-01,off,x", 1),
        ("2027-01-01,maybe", 1),
        ("date,kind\n2027-01-04,worked", 2),
        ("", 1),
    ],
)
def test_csv_rows_that_are_not_understood_are_named(text: str, line: int) -> None:
    with pytest.raises(Refused) as refused:
        read_csv(text, "x", PUBLISHED)
    assert refused.value.facts["lines"][0]["line"] == line


@given(
    st.text(max_size=200)
    | st.text("一二、：年月日至放假调休共天上班（）周0123456789。\n", max_size=200)
)
def test_any_text_is_a_notice_or_refused(text: str) -> None:
    for body in (text, notice(2026, text), text.replace("\n", ",")):
        try:
            found = read_notice(body, EMPTY, PUBLISHED)
        except Refused:
            continue
        assert isinstance(found, Holidays) and (found.free or found.worked)
    with contextlib.suppress(Refused):
        read_csv(text, "x", PUBLISHED)
