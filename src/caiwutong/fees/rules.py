"""The judgement of fees, pure: the lines of one reference, the attempt behind it, the catalog."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from caiwutong.fees.model import FeeLine, FeeReason, Finding
from caiwutong.kernel.money import yuan
from caiwutong.payments.charged import Sent
from caiwutong.rails.catalog.model import Fee, Tariff, Unknown
from caiwutong.rails.catalog.rules import Catalog


def judge(
    lines: Sequence[FeeLine], sent: Sent | None, bank: str, catalog: Catalog
) -> list[Finding]:
    """A finding for each line of one reference, in the bank's order. ``lines``: all fees under it
    that stand, whenever they were booked; ``bank``: the 联行号 of the account. What the bank gave
    back cancels the latest charge of the same amount, and both are left out."""
    found: list[Finding] = []
    standing = _without_refunds(lines)
    for number, line in enumerate(standing):
        if number == 0 or not line.reference:
            found.append(_judge_one(line, sent, bank, catalog))
        else:
            found.append(
                _finding(line, sent, FeeReason.CHARGED_TWICE, 0, note="another came before")
            )
    return found


def _without_refunds(lines: Sequence[FeeLine]) -> list[FeeLine]:
    standing: list[FeeLine] = []
    for line in sorted(lines, key=lambda line: line.position):
        same = [each for each in standing if each.charged_fen == -line.charged_fen]
        if line.charged_fen < 0 and same:
            standing.remove(same[-1])
        else:
            standing.append(line)
    return standing


def _judge_one(line: FeeLine, sent: Sent | None, bank: str, catalog: Catalog) -> Finding:
    if not line.reference:
        return _finding(line, None, FeeReason.NO_REFERENCE, None)
    if sent is None:
        return _finding(line, None, FeeReason.NOT_OURS, None, note="no payment has this reference")
    if not sent.executed:
        return _finding(line, sent, FeeReason.NOT_EXECUTED, 0)
    fee = expected(sent, bank, catalog, line.booked_at)
    if isinstance(fee, Unknown):
        return _finding(line, sent, FeeReason.NO_TARIFF, None, note=fee.why)
    reason, note = _compare(line, sent, fee, catalog)
    return _finding(line, sent, reason, fee.fen, fee=fee, note=note)


def expected(sent: Sent, bank: str, catalog: Catalog, at: datetime) -> Fee | Unknown:
    """What the payment should cost by the tariff in force at this moment: that of the clearing
    channel asked of the bank, where one is recorded, else that of the rail."""
    if sent.flag:
        fee = catalog.fee(bank, sent.flag, sent.amount_fen, at, sent.payee_bank)
        if isinstance(fee, Fee):
            return fee
    return catalog.fee(bank, sent.rail, sent.amount_fen, at, sent.payee_bank)


def _compare(line: FeeLine, sent: Sent, fee: Fee, catalog: Catalog) -> tuple[FeeReason, str]:
    charged = line.charged_fen
    if charged == fee.fen:
        return FeeReason.AGREES, ""
    if fee.fen == 0:
        return FeeReason.SHOULD_BE_FREE, ""
    if charged == fee.list_fen:
        return FeeReason.DISCOUNT_NOT_APPLIED, f"list price {yuan(fee.list_fen)}"
    band = _band_of(charged, sent.amount_fen, fee, catalog)
    if band:
        return FeeReason.WRONG_BAND, band
    return (FeeReason.TOO_MUCH if charged > fee.fen else FeeReason.TOO_LITTLE), ""


def _band_of(charged: int, amount_fen: int, fee: Fee, catalog: Catalog) -> str:
    """Which other band of the tariff costs exactly this; empty for none."""
    tariff = catalog.fact(fee.tariff)
    if not isinstance(tariff, Tariff):
        return ""
    lowest = 0
    for band in tariff.bands:
        price = band.flat_fen + (amount_fen * band.rate_ppm + 500_000) // 1_000_000
        price = price if band.cap_fen is None else min(price, band.cap_fen)
        if charged == price:
            upper = "up" if band.up_to_fen is None else f"to {yuan(band.up_to_fen)}"
            return f"as if from {yuan(lowest)} {upper}"
        lowest = band.up_to_fen or lowest
    return ""


def _finding(
    line: FeeLine,
    sent: Sent | None,
    reason: FeeReason,
    expected_fen: int | None,
    *,
    fee: Fee | None = None,
    note: str = "",
) -> Finding:
    return Finding(
        line=line,
        reason=reason,
        payment_id=sent.payment_id if sent else None,
        channel=sent.rail if sent else "",
        amount_fen=sent.amount_fen if sent else None,
        expected_fen=expected_fen,
        difference_fen=0 if expected_fen is None else line.charged_fen - expected_fen,
        tariff=fee.tariff if fee else "",
        discount=fee.discount if fee else "",
        note=note,
    )
