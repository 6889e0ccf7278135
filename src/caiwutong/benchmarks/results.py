"""What a bench found, how the run's machine is described, and the table people read."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec


class Latency(msgspec.Struct, frozen=True):
    """Milliseconds one piece of work took."""

    mean_ms: float
    p50_ms: float
    p99_ms: float


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One row: what was measured, and how it stands beside the baseline of the same run."""

    name: str
    value: float
    """How many ``unit`` of it."""
    unit: str
    latency: Latency | None = None
    mean_ms: float | None = None
    """Where only the mean is known."""
    cpu_us: Mapping[str, float] = msgspec.field(default_factory=dict[str, float])
    """CPU microseconds per piece of work, by component."""
    extra: Mapping[str, Any] = msgspec.field(default_factory=dict[str, Any])

    def shown(self, baseline_tps: float) -> dict[str, Any]:
        """The row as ``--json`` prints it, beside the TPC-B of the runs around it."""
        latency = self.latency
        mean_ms = latency.mean_ms if latency else self.mean_ms
        return {
            "name": self.name,
            "value": round(self.value, 1),
            "unit": self.unit,
            "baseline": "pgbench TPC-B transactions/s",
            "baseline_value": round(baseline_tps, 1),
            "ratio": round(self.value / baseline_tps, 2) if baseline_tps else 0.0,
            "mean_ms": None if mean_ms is None else round(mean_ms, 2),
            "p50_ms": round(latency.p50_ms, 2) if latency else None,
            "p99_ms": round(latency.p99_ms, 2) if latency else None,
            "cpu_us": {name: round(us, 1) for name, us in self.cpu_us.items()},
            **self.extra,
        }


def latency_of(seconds: Sequence[float]) -> Latency | None:
    """Mean, median and 99th percentile (the smallest value that 99 % do not exceed)."""
    if not seconds:
        return None
    ordered = sorted(seconds)
    return Latency(
        1000 * sum(ordered) / len(ordered),
        1000 * ordered[(len(ordered) - 1) // 2],
        1000 * ordered[-(-len(ordered) * 99 // 100) - 1],
    )


def machine(settings: Mapping[str, str]) -> dict[str, Any]:
    """Where the run took place; ``settings`` as the database itself shows them."""
    return {
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "postgresql": settings["server_version"],
        "durability": {name: v for name, v in settings.items() if name != "server_version"},
        "load_average_at_start": round(os.getloadavg()[0], 2),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def cpu_model() -> str:
    """The processor as it calls itself."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def table(run: Mapping[str, Any]) -> str:
    """The whole run for people."""
    where = run["machine"]
    lines = [
        f"{where['cpu']}, {where['cores']} cores, Linux {where['kernel']}, Python "
        f"{where['python']}, PostgreSQL {where['postgresql']}, {where['date']}",
        "PostgreSQL: " + ", ".join(f"{k} {v}" for k, v in where["durability"].items()),
        "",
        _row("what", "", "per second", "× TPC-B", "mean ms", "p50 ms", "p99 ms"),
    ]
    for row in run["results"]:
        lines.append(
            _row(
                row["name"],
                row["unit"],
                f"{row['value']:,.0f}",
                f"{row['ratio']:.2f}",
                *(
                    "" if row[each] is None else f"{row[each]:,.1f}"
                    for each in ("mean_ms", "p50_ms", "p99_ms")
                ),
            )
        )
        if row["cpu_us"]:
            parts = (f"{name} {us:,.0f}" for name, us in row["cpu_us"].items())
            lines.append(f"    CPU µs each: {', '.join(parts)}")
        if row.get("note"):
            lines.append(f"    {row['note']}")
    return "\n".join(lines)


def _row(name: str, unit: str, *cells: str) -> str:
    return f"{name:<28} {unit:<14}" + "".join(f"{cell:>11}" for cell in cells)
