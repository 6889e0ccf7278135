"""The attempts of the payments that a batch of reports speaks of, while it is worked on."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from caiwutong.payments.model import AttemptRow


class History:
    """Attempts by what the rail calls them and by payment, oldest first."""

    def __init__(self, *groups: Iterable[AttemptRow]) -> None:
        self._by_name: dict[tuple[str, str], AttemptRow] = {}
        self._of: dict[UUID, dict[int, AttemptRow]] = {}
        for group in groups:
            for attempt in group:
                self.put(attempt)

    def put(self, attempt: AttemptRow) -> None:
        """Add an attempt, or what it has become."""
        self._by_name[attempt.rail, attempt.reference] = attempt
        self._of.setdefault(attempt.payment_id, {})[attempt.number] = attempt

    def named(self, rail: str, reference: str) -> AttemptRow | None:
        """The attempt the rail calls so; None when we never sent it."""
        return self._by_name.get((rail, reference))

    def of(self, payment_id: UUID) -> list[AttemptRow]:
        """The payment's attempts, oldest first."""
        attempts = self._of.get(payment_id, {})
        return [attempts[number] for number in sorted(attempts)]
