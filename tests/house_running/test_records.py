"""What a tenant is made of, created and listed from the command line."""

from __future__ import annotations

import pytest

from support.running import House

pytestmark = [pytest.mark.engine, pytest.mark.slow]


@pytest.mark.xdist_group("shared-house")
def test_an_organisation_from_the_command_line(shared: House) -> None:
    group = shared.tell("create", "enterprise", "code=huabei", "name=华北示例集团")
    entity = shared.tell(
        "create", "legal-entity", f"group_id={group['group_id']}", "code=hb1",
        "name=华北示例有限公司", "uscc=91110000600037341L",
    )  # fmt: skip
    unit = shared.tell(
        "create", "member-unit", f"legal_entity_id={entity['legal_entity_id']}", "code=hb1u1",
        "name=第一分公司",
    )  # fmt: skip
    account = shared.tell(
        "create", "bank-account", f"member_unit_id={unit['member_unit_id']}",
        "name=华北示例有限公司", "account=6000100099887", "bank_code=102290091014",
        "bank_name=国信银行", "access_modes=ibps", "opening_balance_fen=100000",
    )  # fmt: skip
    assert account["account"] == "…9887"
    assert account["access_modes"] == ["ibps"]
    shared.tell("create", "payee", "name=收款公司", "account=622200010001")
    assert any(p["name"] == "收款公司" for p in shared.tell("list", "payee"))
    assert any(u["code"] == "hb1u1" for u in shared.tell("list", "member-unit"))
    key = shared.tell("create", "api-key", "name=erp-hb", "bearer=true")
    assert key["secret"] and key["bearer"].startswith("demo.")
    hook = shared.tell("create", "webhook", "url=http://127.0.0.1:19999/hook")
    assert hook["secret"].startswith("whsec_")


@pytest.mark.xdist_group("shared-house")
@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("create", "enterprise", "code=x1"), "cli.bad_fields"),
        (("create", "enterprise", "code=x1", "name=甲", "colour=red"), "cli.bad_fields"),
        (("create", "enterprise", "nonsense"), "cli.bad_field"),
    ],
)
def test_what_cannot_be_created_is_refused_with_what_helps(
    shared: House, words: tuple[str, ...], code: str
) -> None:
    ended = shared.run(*words, "--json")
    assert ended.returncode == 1
    assert code in ended.stdout
