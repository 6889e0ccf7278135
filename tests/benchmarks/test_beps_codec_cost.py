"""The small benchmark of the batched codec measures what it says it does."""

from __future__ import annotations

from caiwutong.benchmarks.beps import measure


def test_a_payment_costs_less_in_a_batch_than_alone() -> None:
    alone, together = measure(1, 0.05), measure(50, 0.05)
    for row in (alone, together):
        parts = (row.encode_us, row.take_us, row.outcomes_us, row.netting_us, row.ask_us)
        assert all(part > 0 for part in parts)
    assert together.hub_us < alone.hub_us / 3, "the signature is shared"
    assert together.body_bytes > 20 * alone.body_bytes
