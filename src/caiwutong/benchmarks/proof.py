"""What must be true of the books before a figure counts."""

from __future__ import annotations

from caiwutong.kernel.errors import Broken
from caiwutong.wiring import Services


async def payments_kept(services: Services) -> int:
    """How many payments the database holds."""
    overview = await services.payments.views.overview(services.settings.tenant)
    return sum(overview.states.values())


async def prove_intake(services: Services, answered: int, cut_off: int = 0, before: int = 0) -> int:
    """Every receipt is a payment with its key bound once, and no fen was made or lost. Returns how
    many payments there are beyond the answers: requests the end of the run cut off, at most
    ``cut_off``. ``before``: payments that were there already. Raises Broken."""
    tenant = services.settings.tenant
    kept = await payments_kept(services) - before
    async with services.database.transaction() as tx:
        keys = await tx.value("SELECT count(*) FROM payment_keys WHERE tenant = $1", tenant)
        proofs = await services.ledger.trial_balance(tx, tenant)
    if not answered <= kept <= answered + cut_off or keys != kept + before:
        raise Broken(
            "bench.payments_differ",
            f"{answered} receipts, {kept} payments, {keys - before} keys.",
            "The figures of this run count for nothing; find the fault first.",
        )
    if not all(proof.holds for proof in proofs):
        raise Broken(
            "bench.wrong_books",
            f"The trial balance does not hold: {proofs}.",
            "The figures of this run count for nothing; find the fault first.",
        )
    return kept - answered
