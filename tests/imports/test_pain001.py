"""pain.001 of every version, and the files of others read or refused with the right reason."""

from __future__ import annotations

from contextlib import closing
from datetime import date
from pathlib import Path

import pytest
from tests.imports.helpers import ACCOUNTS, codes, lines, outcomes

from caiwutong.imports.model import BadRow, Line
from caiwutong.imports.readers import open_source
from caiwutong.kernel.errors import Refused
from caiwutong.kernel.order import Priority

FILES = Path(__file__).parent.parent / "data" / "iso20022"


def message(
    *transactions: str,
    namespace: str = "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09",
    count: int | None = None,
    total: str = "",
    day: str = "<Dt>2026-07-03</Dt>",
    method: str = "TRF",
    header: str = "",
) -> bytes:
    space = f' xmlns="{namespace}"' if namespace else ""
    total = f"<CtrlSum>{total}</CtrlSum>" if total else ""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><Document{space}><CstmrCdtTrfInitn><GrpHdr>'
        f"<MsgId>M-1</MsgId><CreDtTm>2026-07-01T09:00:00</CreDtTm>"
        f"<NbOfTxs>{len(transactions) if count is None else count}</NbOfTxs>{total}</GrpHdr>"
        f"<PmtInf><PmtInfId>P-1</PmtInfId><PmtMtd>{method}</PmtMtd>"
        f"<PmtTpInf><CtgyPurp><Cd>SUPP</Cd></CtgyPurp></PmtTpInf>"
        f"<ReqdExctnDt>{day}</ReqdExctnDt><Dbtr><Nm>某某集团</Nm></Dbtr>"
        f"<DbtrAcct><Id><Othr><Id>{ACCOUNTS[3].number}</Id></Othr></Id></DbtrAcct>"
        f"{''.join(transactions)}</PmtInf></CstmrCdtTrfInitn></Document>"
    ).encode()


def transfer(
    key: str = "E2E-1", amount: str = '<InstdAmt Ccy="CNY">1234.56</InstdAmt>', more: str = ""
) -> str:
    return (
        f"<CdtTrfTxInf><PmtId><InstrId>I-1</InstrId><EndToEndId>{key}</EndToEndId></PmtId>"
        f"{more}<Amt>{amount}</Amt>"
        "<CdtrAgt><FinInstnId><ClrSysMmbId><ClrSysId><Cd>CNAPS</Cd></ClrSysId>"
        "<MmbId>102100099996</MmbId></ClrSysMmbId><Nm>中国工商银行</Nm></FinInstnId></CdtrAgt>"
        "<Cdtr><Nm>供应商有限公司</Nm></Cdtr>"
        "<CdtrAcct><Id><Othr><Id>6228480400000048917</Id></Othr></Id></CdtrAcct>"
        "<RmtInf><Ustrd>发票 8</Ustrd><Ustrd>谢谢</Ustrd></RmtInf></CdtTrfTxInf>"
    )


@pytest.mark.parametrize("version", range(3, 13))
def test_every_version_from_03_to_12_is_read(version: int) -> None:
    space = f"urn:iso:std:iso:20022:tech:xsd:pain.001.001.{version:02d}"
    day = "<Dt>2026-07-03</Dt>" if version >= 8 else "2026-07-03"
    (line,) = lines(message(transfer(), namespace=space, day=day, total="1234.56"))
    assert line.row_no == 1
    assert line.key == "E2E-1"
    assert line.unit == "U03"
    order = line.order
    assert order.bank_account_id == ACCOUNTS[3].bank_account_id
    assert order.amount_fen == 123456
    assert order.payee.name == "供应商有限公司"
    assert order.payee.account == "6228480400000048917"
    assert order.payee.bank_code == "102100099996"
    assert order.payee.bank_name == "中国工商银行"
    assert order.execute_on == date(2026, 7, 3)
    assert order.remark == "发票 8 谢谢"
    assert order.purpose == "SUPP"


@pytest.mark.parametrize(
    "namespace", ["", "http://www.six-interbank-clearing.com/de/pain.001.001.03.ch.02.xsd", "urn:x"]
)
def test_any_namespace_or_none_is_read(namespace: str) -> None:
    assert len(lines(message(transfer(), namespace=namespace))) == 1


def test_a_gbk_message_is_read() -> None:
    body = message(transfer()).decode().replace("UTF-8", "GB18030").encode("gb18030")
    assert lines(body)[0].order.payee.name == "供应商有限公司"


def test_comments_between_elements_do_no_harm() -> None:
    body = message(transfer()).replace(b"<PmtInf>", b"<!-- made by hand --><PmtInf>")
    assert len(lines(body)) == 1


def test_a_moment_is_read_as_its_day_and_high_priority_as_urgent() -> None:
    more = "<PmtTpInf><InstrPrty>HIGH</InstrPrty></PmtTpInf>"
    body = message(transfer(more=more), day="<DtTm>2026-07-03T10:00:00+08:00</DtTm>")
    (line,) = lines(body)
    assert line.order.execute_on == date(2026, 7, 3)
    assert line.order.priority is Priority.URGENT


def test_an_end_to_end_id_not_provided_gives_way_to_the_instruction_id() -> None:
    assert lines(message(transfer(key="NOTPROVIDED")))[0].key == "I-1"


def test_each_transaction_in_another_currency_is_refused_by_its_own() -> None:
    amount = '<InstdAmt Ccy="EUR">99.99</InstdAmt>'
    bad, good = outcomes(message(transfer("A", amount), transfer("B")))
    assert codes(bad) == ["imports.currency_not_cny"]
    assert isinstance(good, Line)


def test_what_is_not_a_plain_transfer_is_refused_by_its_own() -> None:
    equivalent = '<EqvtAmt><Amt Ccy="CNY">1</Amt><CcyOfTrf>EUR</CcyOfTrf></EqvtAmt>'
    (row,) = outcomes(message(transfer(amount=equivalent)))
    assert codes(row) == ["imports.amount_equivalent"]
    (row,) = outcomes(message(transfer(), method="CHK"))
    assert codes(row) == ["imports.payment_method"]
    (row,) = outcomes(message(transfer(amount='<InstdAmt Ccy="CNY">1.234</InstdAmt>')))
    assert codes(row) == ["imports.amount_decimals"]
    (row,) = outcomes(message(transfer(amount="")))
    assert codes(row) == ["imports.amount_blank", "imports.amount_blank"]


def faults(body: bytes) -> list[str]:
    with closing(open_source(body)) as source:
        return [fault.code for fault in source.faults]


def test_a_message_that_does_not_add_up_has_a_fault() -> None:
    assert faults(message(transfer(), total="1234.56")) == []
    assert faults(message(transfer(), total="1234.560")) == []
    assert faults(message(transfer(), count=2)) == ["imports.transaction_count"]
    assert faults(message(transfer(), total="1234.57")) == ["imports.control_sum"]
    assert faults(message(transfer(), count=2, total="x")) == [
        "imports.transaction_count",
        "imports.control_sum",
    ]
    assert faults(message()) == ["imports.empty"]


# ---------------------------------------------------------------------------------- files of others


def test_a_sepa_transfer_in_euro_is_read_and_refused_for_its_currency() -> None:
    (row,) = outcomes((FILES / "sepa_payment_naujas_1.xml").read_bytes())
    assert isinstance(row, BadRow) and row.key == "EndToEndId0001"
    assert "imports.currency_not_cny" in codes(row)
    assert faults((FILES / "sepa_payment_naujas_1.xml").read_bytes()) == []


def test_the_swiss_sample_is_read_and_its_wrong_count_found() -> None:
    data = (FILES / "musterfile_pain.001_Nov2020.xml").read_bytes()
    assert faults(data) == ["imports.transaction_count"]
    rows = outcomes(data)
    assert len(rows) == 8
    assert all("imports.currency_not_cny" in codes(row) for row in rows)
    assert "imports.amount_equivalent" in codes(rows[5])


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("invalid_pain_v11.xml", "pain.002"),
        ("FI_camt_053_sample.xml.xml", "camt.053"),
        (
            "200519_camt.054_P_CH2909000000250094239_1111091335_0_2020061900081727.xml",
            "camt.054",
        ),
    ],
)
def test_another_message_is_refused_by_its_right_name(name: str, what: str) -> None:
    with pytest.raises(Refused) as caught:
        open_source((FILES / name).read_bytes())
    assert caught.value.code == "imports.not_pain001"
    assert what in caught.value.detail


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ("<Document><pain.001.001.02/></Document>", "imports.pain001_old"),
        ("<Workbook><Worksheet/></Workbook>", "imports.not_a_list"),
        ("<rss/>", "imports.not_pain001"),
        ("<Document/>", "imports.not_pain001"),
    ],
)
def test_other_xml_is_refused_with_the_cure(document: str, code: str) -> None:
    with pytest.raises(Refused) as caught:
        open_source(document.encode())
    assert caught.value.code == code
    assert caught.value.cure
