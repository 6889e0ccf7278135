"""The running house a bench puts under load, and what its processes use."""

from __future__ import annotations

from dataclasses import dataclass

from caiwutong.benchmarks.cpu import cpu_of_trees
from caiwutong.engines import Engines
from caiwutong.settings import Settings
from caiwutong.wiring import Services

NETTING_S = 2.0
"""Business seconds between the clearing centre's netting rounds; the clock runs at scale 1."""


@dataclass(slots=True, kw_only=True)
class House:
    """A whole installation with the sandbox, as ``caiwutong up`` starts it, on its own folder.
    ``services`` are the bench's own, on the same database: for drawing orders and for proofs."""

    settings: Settings
    engines: Engines
    services: Services

    def cpu(self) -> dict[str, float]:
        """Seconds of CPU used so far by each process of the house and by the load generator."""
        children = self.engines.supervisor.health()
        return cpu_of_trees({child.name: child.pid for child in children})
