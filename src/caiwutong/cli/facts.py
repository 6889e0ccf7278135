"""The hub's payments as facts that the banks' books can judge."""

from __future__ import annotations

from uuid import UUID

from caiwutong.payments.intake import open_payee
from caiwutong.sandbox.judge import PaymentFact
from caiwutong.wiring import Services


async def payment_facts(services: Services) -> list[PaymentFact]:
    """Every payment of the tenant with the references of all its attempts."""
    tenant = services.settings.tenant
    payers: dict[UUID, str] = {}
    facts: list[PaymentFact] = []
    async for row, attempts in services.payments.views.everything(tenant):
        if row.bank_account_id not in payers:
            async with services.database.transaction() as tx:
                account = await services.bank_accounts.get(tx, tenant, row.bank_account_id)
            payers[row.bank_account_id] = account.account
        facts.append(
            PaymentFact(
                payment_id=str(row.payment_id),
                references=tuple(a.reference for a in attempts),
                amount_fen=row.amount_fen,
                state=row.state.value,
                payer_account=payers[row.bank_account_id],
                payee_account=open_payee(services.vault, row).account,
                returned=row.returned_at is not None,
            )
        )
    return facts
