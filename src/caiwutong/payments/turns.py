"""Whose turn it is (轮转): tenants share the worker's rounds by weight, and nobody starves.

Smooth weighted round-robin: every tenant that has work gains its weight in credit, the richest goes
and pays the sum of all. Over any span in which the same tenants have work, each gets its share to
within one round. Pure but for the credit it keeps.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping


class Turns:
    """Draws the next tenant among those that have work."""

    def __init__(self, weights: Mapping[str, int]) -> None:
        """``weights``: how many rounds each gets beside the others, one or more."""
        self._weights = dict(weights)
        self._credit: dict[str, int] = dict.fromkeys(weights, 0)

    @property
    def tenants(self) -> tuple[str, ...]:
        return tuple(self._weights)

    def next(self, busy: Collection[str]) -> str | None:
        """Whose round it is among these; None when none of them is known. Who has no work saves
        nothing up for later."""
        sharing = [tenant for tenant in self._weights if tenant in busy]
        for tenant in self._credit:
            if tenant not in busy:
                self._credit[tenant] = 0
        if not sharing:
            return None
        for tenant in sharing:
            self._credit[tenant] += self._weights[tenant]
        chosen = max(sharing, key=lambda tenant: self._credit[tenant])
        self._credit[chosen] -= sum(self._weights[tenant] for tenant in sharing)
        return chosen
