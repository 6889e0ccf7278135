"""How statements book entries and tell the log, the same way from wherever they do it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from caiwutong.audit.model import Event, canonical_json
from caiwutong.db.database import Tx
from caiwutong.kernel.errors import Broken, Refusal
from caiwutong.kernel.ids import Ids
from caiwutong.ledger.model import Transfer
from caiwutong.ledger.service import Ledger
from caiwutong.rails.contract import StatementLine
from caiwutong.statements.model import LineRow
from caiwutong.statements.ports import Seal

_COUNTERPARTY = "statement_counterparty"
"""The vault's record class of the other side of a line."""

_ACTOR = "system:statements"


class OtherSide(msgspec.Struct, frozen=True):
    """The counterparty of a line, as it is sealed."""

    name: str = ""
    account: str = ""


def seal_other_side(
    seal: Seal, tenant: str, bank_account_id: UUID, line_id: str, other: OtherSide
) -> bytes:
    """The other side sealed for this line; empty when the bank names nobody."""
    if not (other.name or other.account):
        return b""
    place = _place(tenant, bank_account_id, line_id)
    return seal.seal(_COUNTERPARTY, canonical_json(other), place)


def open_other_side(seal: Seal, tenant: str, row: LineRow) -> OtherSide:
    """The other side of a line in clear: for the one who may see it, in memory only."""
    if not row.counterparty_sealed:
        return OtherSide()
    place = _place(tenant, row.bank_account_id, row.line_id)
    opened = seal.open(_COUNTERPARTY, row.counterparty_sealed, place)
    return msgspec.json.decode(opened, type=OtherSide)


async def book_many(ledger: Ledger, tx: Tx, tenant: str, entries: Sequence[Transfer]) -> None:
    """Make these entries in one batch. The bank has done it already, so a refusal is Broken."""
    outcomes = await ledger.transfer_many(tx, tenant, entries)
    for entry, outcome in zip(entries, outcomes, strict=True):
        if isinstance(outcome, Refusal):
            raise Broken(
                "statements.ledger_refused",
                f"The ledger refused what the bank has booked: {outcome.code}. {outcome.detail}",
                f"Nothing was written; look at {entry!r}.",
            )


def happened(
    ids: Ids,
    tenant: str,
    kind: str,
    subject: UUID,
    body: dict[str, Any],
    at: datetime,
    *,
    subject_kind: str = "bank_account",
    actor: str = _ACTOR,
) -> Event:
    """One event of a bank account, or of the payment a line is about."""
    return Event(
        tenant=tenant,
        event_id=ids.new(),
        kind=kind,
        subject_kind=subject_kind,
        subject_id=subject,
        actor=actor,
        at=at,
        body=canonical_json(body),
    )


def facts(line: StatementLine | LineRow) -> dict[str, Any]:
    """What an event says of a line: no account number in it."""
    return {
        "line_id": line.line_id,
        "amount_fen": line.amount_fen,
        "balance_after_fen": line.balance_after_fen,
        "booked_at": line.booked_at.isoformat(),
        "kind": line.kind,
        "reference": line.reference,
    }


def _place(tenant: str, account: UUID, line_id: str) -> bytes:
    return f"{tenant}/{account}/{line_id}/counterparty".encode()
