"""What must be true of the books before a figure counts."""

from __future__ import annotations

from caiwutong.kernel.errors import Broken
from caiwutong.wiring import Services

_KEPT = """
    SELECT count(*) FILTER (WHERE starts_with(key, $2)), count(*),
           (SELECT count(*) FROM payment_keys WHERE tenant = $1)
    FROM payments WHERE tenant = $1
"""


async def prove_intake(services: Services, run: str, answered: int, cut_off: int = 0) -> int:
    """Every receipt of the run is a payment, every payment has its key bound once, and no fen was
    made or lost. ``run``: what the run's keys begin with. Returns how many payments there are
    beyond the receipts: requests the end of the run cut off, at most ``cut_off``. Raises Broken."""
    tenant = services.settings.tenant
    async with services.database.transaction() as tx:
        kept, everything, keys = await tx.fetch_one(_KEPT, tenant, run) or (0, 0, 0)
        proofs = await services.ledger.trial_balance(tx, tenant)
    if not answered <= kept <= answered + cut_off or keys != everything:
        raise Broken(
            "bench.payments_differ",
            f"{answered} receipts, {kept} payments; in all {everything} payments, {keys} keys.",
            "The figures of this run count for nothing; find the fault first.",
        )
    if not all(proof.holds for proof in proofs):
        raise Broken(
            "bench.wrong_books",
            f"The trial balance does not hold: {proofs}.",
            "The figures of this run count for nothing; find the fault first.",
        )
    return kept - answered
