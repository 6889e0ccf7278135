"""CPU time of the run's processes, from ``/proc``: a process and everything below it.

What children used that have ended is counted by the parent that waited for them, so nothing is
lost when PostgreSQL ends a backend.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_ME = "load generator"


def cpu_of_trees(roots: Mapping[str, int]) -> dict[str, float]:
    """Seconds of CPU that each named process and its descendants have used so far, and this
    process itself with the children it has waited for (the load generator)."""
    parents, used = _all()
    children: dict[int, list[int]] = {}
    for pid, parent in parents.items():
        children.setdefault(parent, []).append(pid)
    sums: dict[str, float] = {}
    for name, root in roots.items():
        total, stack = 0.0, [root]
        while stack:
            pid = stack.pop()
            total += used.get(pid, 0.0)
            stack += children.get(pid, [])
        sums[name] = total
    times = os.times()
    sums[_ME] = times.user + times.system + times.children_user + times.children_system
    return sums


def per_piece(
    before: Mapping[str, float], after: Mapping[str, float], pieces: int
) -> dict[str, float]:
    """Microseconds per piece of work between two readings."""
    return {name: 1e6 * (after[name] - before[name]) / max(pieces, 1) for name in after}


def _all() -> tuple[dict[int, int], dict[int, float]]:
    parents: dict[int, int] = {}
    used: dict[int, float] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            pid = int(entry.name)
            parents[pid] = int(fields[1])
            used[pid] = sum(int(field) for field in fields[11:15]) * _TICK_S
    return parents, used
