"""Attempts and templates for the tests of bank files."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from caiwutong.kernel.clock import ManualClock
from caiwutong.kernel.ids import reference
from caiwutong.rails.bank_file.connector import BankFileRail
from caiwutong.rails.bank_file.template import (
    BankFileConnection,
    BankTemplate,
    Templates,
    shipped,
)
from caiwutong.rails.contract import AccountAtBank, Attempt

AT = datetime(2026, 11, 2, 1, 0, tzinfo=UTC)
RURAL = "402452094013"
PAYER = AccountAtBank("华东示例食品有限公司", "402900112345678", RURAL, "沂河农村商业银行")
PAYEE = AccountAtBank("南京恒瑞贸易有限公司", "6020000112345678", "102290091014", "国信银行")
SHIPPED = {template.name: template for template in shipped()}


def attempt(number: int = 1, **more: Any) -> Attempt:
    """The n-th attempt of a day."""
    attempt_id = UUID(int=(0x7000 << 64) | (1 << 63) | number * 7_919)
    first = Attempt(
        tenant="t",
        payment_id=UUID(int=number),
        attempt_id=attempt_id,
        rail="bank_file",
        reference=reference(AT, attempt_id),
        payer=PAYER,
        payee=PAYEE,
        amount_fen=123_456,
        created_at=AT,
        valid_until=AT + timedelta(days=10),
        purpose="货款",
    )
    return msgspec.structs.replace(first, **more)


def rail_of(template: BankTemplate) -> BankFileRail:
    """The rail of an installation whose one bank takes this template."""
    connection = BankFileConnection(RURAL[:3], template.name)
    return BankFileRail(Templates([connection], [template]), ManualClock(AT))
