"""Orders become the bank's own template, and its result file becomes reports."""

from __future__ import annotations

import csv
import io

import msgspec
import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.rails.bank_file.words import AT, PAYEE, RURAL, SHIPPED, attempt, rail_of

from caiwutong.kernel.errors import Refused
from caiwutong.rails.bank_file import codec
from caiwutong.rails.bank_file.counterpart import ToldRow, Uploaded, read_upload, write_result
from caiwutong.rails.bank_file.tables import rows_of
from caiwutong.rails.bank_file.template import BankTemplate, Templates
from caiwutong.rails.contract import BadMessage, RailReport, ReportKind

CSVS = [name for name, template in SHIPPED.items() if template.format == "csv"]
TEMPLATES = pytest.mark.parametrize("name", sorted(SHIPPED))


def uploaded(template: BankTemplate, *attempts: object) -> list[Uploaded]:
    return read_upload(template, codec.encode(template, list(attempts)))  # type: ignore[arg-type]


def answer(template: BankTemplate, told: list[tuple[Uploaded, str, str]]) -> dict[str, RailReport]:
    raw = write_result(template, [ToldRow(row, status, why, "B1") for row, status, why in told])
    return {report.reference: report for report in rail_of(template).decode(raw)}


class TestWriting:
    @TEMPLATES
    def test_the_bank_reads_what_we_wrote(self, name: str) -> None:
        template = SHIPPED[name]
        orders = [attempt(n, amount_fen=n * 101) for n in (1, 2, 3)]
        rows = uploaded(template, *orders)
        assert [row.reference for row in rows] == [order.reference for order in orders]
        assert [row.amount_fen for row in rows] == [101, 202, 303]
        assert {(row.payee_account, row.payee_name) for row in rows} == {
            (PAYEE.account, PAYEE.name)
        }

    @TEMPLATES
    def test_the_same_orders_are_the_same_bytes(self, name: str) -> None:
        orders = [attempt(1), attempt(2)]
        assert codec.encode(SHIPPED[name], orders) == codec.encode(SHIPPED[name], orders)

    def test_the_rural_template_is_gbk_with_the_banks_own_header(self) -> None:
        raw = codec.encode(SHIPPED["rural-credit-batch"], [attempt()])
        header, row = csv.reader(io.StringIO(raw.decode("gbk")))
        assert header[:3] == ["序号", "企业流水号", "付款账号"]
        assert row[7:10] == ["跨行", "人民币", "1234.56"]

    def test_a_workbook_keeps_long_numbers_as_text_below_its_totals(self) -> None:
        raw = codec.encode(SHIPPED["city-batch-workbook"], [attempt(1), attempt(2)])
        sheet = openpyxl.load_workbook(io.BytesIO(raw))["批量付款"]
        assert [cell.value for cell in sheet[2]][2:6] == ["总笔数", "2", "总金额", "2469.12"]
        assert sheet["B4"].value == PAYEE.account and sheet["B4"].number_format == "@"

    def test_amounts_in_fen_have_no_point(self) -> None:
        raw = codec.encode(SHIPPED["plain-text-fen"], [attempt()]).decode("gb18030")
        assert "|123456|" in raw and "1234.56" not in raw

    @pytest.mark.parametrize("words", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)"])
    def test_words_that_a_spreadsheet_would_run_are_made_harmless(self, words: str) -> None:
        raw = codec.encode(SHIPPED["rural-credit-batch"], [attempt(purpose=words)])
        (_, row) = csv.reader(io.StringIO(raw.decode("gbk")))
        assert not any(cell.startswith(("=", "+", "-", "@")) for cell in row)

    def test_our_reference_stands_in_front_where_words_are_cut(self) -> None:
        (row,) = uploaded(SHIPPED["plain-text-fen"], attempt(purpose="很长的用途" * 20))
        assert row.reference == attempt().reference and row.words.startswith(row.reference)

    def test_a_file_is_cut_at_the_banks_limits_and_an_order_never_is(self) -> None:
        template = msgspec.structs.replace(
            SHIPPED["rural-credit-batch"], max_rows=2, max_total_fen=250_000, max_amount_fen=None
        )
        orders = [attempt(n) for n in range(1, 6)]
        assert [len(m.references) for m in rail_of(template).encode_many(orders)] == [2, 2, 1]
        refusal = codec.check(template, attempt(amount_fen=250_001))
        assert refusal is not None and refusal.code == "bank_file.amount_too_large"


class TestRefusing:
    REFUSALS = (
        ("bank_file.character", {"payee": msgspec.structs.replace(PAYEE, name="𠮷野家")}),
        ("bank_file.character", {"payee": msgspec.structs.replace(PAYEE, name="張🙂")}),
        ("bank_file.cell_runs", {"payee": msgspec.structs.replace(PAYEE, name="=HYPERLINK(1)")}),
        ("bank_file.cell_too_long", {"payee": msgspec.structs.replace(PAYEE, name="长" * 61)}),
        ("bank_file.cell_missing", {"payee": msgspec.structs.replace(PAYEE, name="")}),
        ("bank_file.push_only", {"currency": "USD"}),
    )

    @pytest.mark.parametrize(("code", "change"), REFUSALS)
    def test_what_the_file_cannot_carry_is_refused_with_its_cure(
        self, code: str, change: dict[str, object]
    ) -> None:
        refusal = codec.check(SHIPPED["rural-credit-batch"], attempt(**change))
        assert refusal is not None and refusal.code == code and refusal.cure

    def test_the_refusal_of_a_character_shows_no_whole_name(self) -> None:
        payee = msgspec.structs.replace(PAYEE, name="欧阳㛃𠮷")
        refusal = codec.check(SHIPPED["rural-credit-batch"], attempt(payee=payee))
        assert refusal is not None and "欧阳㛃𠮷" not in refusal.detail and "U+" in refusal.detail

    def test_a_bank_without_a_template_is_refused_by_name(self) -> None:
        with pytest.raises(Refused) as caught:
            Templates([], list(SHIPPED.values())).for_bank(RURAL, AT.date())
        assert caught.value.code == "bank_file.no_template"


class TestReading:
    @TEMPLATES
    def test_what_the_bank_says_of_each_row_arrives(self, name: str) -> None:
        template = SHIPPED[name]
        rows = uploaded(template, *(attempt(n) for n in (1, 2, 3)))
        result = template.result
        told = answer(
            template,
            [
                (rows[2], result.rejected[0], "账户不存在"),
                (rows[0], result.settled[0], ""),
                (rows[1], result.accepted[0], ""),
            ],
        )
        kinds = [told[row.reference].kind for row in rows]
        assert kinds == [ReportKind.SETTLED, ReportKind.ACCEPTED, ReportKind.REJECTED]
        assert told[rows[0].reference].amount_fen == 123_456

    @pytest.mark.parametrize("status", ["未成功", "部分成功", "人工处理", "??", "成功待确认"])
    def test_an_unknown_status_word_is_doubt_and_never_a_no(self, status: str) -> None:
        template = SHIPPED["rural-credit-batch"]
        (row,) = uploaded(template, attempt())
        (report,) = answer(template, [(row, status, "")]).values()
        assert (report.kind, report.code) == (ReportKind.IN_DOUBT, codec.UNKNOWN_WORD)

    @pytest.mark.parametrize("why", ["企业流水号重复", "该笔指令已存在", "通讯超时", "状态未知"])
    def test_a_no_that_leaves_doubt_is_no_no(self, why: str) -> None:
        template = SHIPPED["rural-credit-batch"]
        (row,) = uploaded(template, attempt())
        (report,) = answer(template, [(row, "失败", why)]).values()
        assert (report.kind, report.code) == (ReportKind.IN_DOUBT, codec.DOUBTFUL_NO)

    def test_two_different_words_of_one_reference_are_doubt(self) -> None:
        template = SHIPPED["rural-credit-batch"]
        (row,) = uploaded(template, attempt())
        (report,) = answer(template, [(row, "成功", ""), (row, "失败", "余额不足")]).values()
        assert (report.kind, report.code) == (ReportKind.IN_DOUBT, codec.TWO_WORDS)

    @pytest.mark.parametrize(
        ("cell", "fen"),
        [("123.62999999999999", 12363), ("１２３．４５", 12345), ("1,234.50", 123450)],
    )
    def test_amounts_are_read_as_people_and_spreadsheets_write_them(
        self, cell: str, fen: int
    ) -> None:
        template = SHIPPED["rural-credit-batch"]
        ref = attempt().reference
        raw = f'企业流水号,金额,处理状态\r\n{ref},"{cell}",成功\r\n'.encode("gbk")
        (report,) = rail_of(template).decode(raw)
        assert report.amount_fen == fen

    def test_a_total_below_the_rows_is_no_row(self) -> None:
        template = SHIPPED["rural-credit-batch"]
        raw = f"企业流水号,金额,处理状态\r\n{attempt().reference},1.00,成功\r\n合计,1.00,\r\n"
        assert len(rail_of(template).decode(raw.encode("gbk"))) == 1

    def test_a_file_that_is_no_result_is_refused_with_its_cure(self) -> None:
        template = SHIPPED["rural-credit-batch"]
        for raw in (b"", b"%PDF-1.7", b"<html>", "姓名,工资\r\n张三,1\r\n".encode("gbk")):
            with pytest.raises(BadMessage) as caught:
                rail_of(template).decode(raw)
            assert caught.value.cure


class TestLaws:
    NAMES = st.text(
        alphabet=st.sampled_from("南京恒瑞贸易有限公司（）·张敏AB12 -=&'\"<>|,"),
        min_size=1,
        max_size=40,
    ).filter(lambda s: s.strip() == s)

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        name=st.sampled_from(CSVS),
        payee=NAMES,
        fen=st.integers(min_value=1, max_value=4_000_000_00),
        words=st.text(max_size=60).filter(str.isprintable),
    )
    def test_what_is_written_is_read_back_or_refused_before(
        self, name: str, payee: str, fen: int, words: str
    ) -> None:
        template = SHIPPED[name]
        order = attempt(
            payee=msgspec.structs.replace(PAYEE, name=payee), amount_fen=fen, purpose=words
        )
        if codec.check(template, order) is not None:
            return
        (row,) = uploaded(template, order)
        assert (row.reference, row.payee_name, row.amount_fen) == (order.reference, payee, fen)
        assert (row.payee_account, row.payee_bank_code) == (PAYEE.account, PAYEE.bank_code)

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        raw=st.binary(max_size=300)
        | st.text(alphabet='企业流水号金额处理状态成功失败,\r\n"1.2;\t', max_size=200).map(
            str.encode
        )
        | st.binary(max_size=200).map("企业流水号,金额,处理状态\r\n".encode("gbk").__add__)
    )
    def test_any_bytes_are_rows_or_a_bad_message(self, raw: bytes) -> None:
        if raw[:2] == b"PK":
            return  # Workbooks are opened elsewhere; see the next law.
        try:
            reports = rail_of(SHIPPED["rural-credit-batch"]).decode(raw)
        except BadMessage as error:
            assert error.code and error.cure
        else:
            assert all(report.kind is not ReportKind.REJECTED or report.code for report in reports)

    @settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
    @given(cut=st.integers(min_value=1, max_value=2000), junk=st.binary(max_size=40))
    def test_a_damaged_workbook_is_a_bad_message(self, cut: int, junk: bytes) -> None:
        template = SHIPPED["city-batch-workbook"]
        raw = codec.encode(template, [attempt()])[:-cut] + junk
        with pytest.raises(BadMessage):
            columns = {c.value: t for c, t in template.result.columns.items()}
            codec.decode_result(template, rows_of(raw, columns))
