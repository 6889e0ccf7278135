"""What the house tells about its own work: metrics for Prometheus, and one line of JSON per log
record. Lower layers may count here; nothing here knows any of them.

Names follow Prometheus' rules (base units, ``_total`` for counters). No metric carries a tenant's
money, an account or a person.
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

import msgspec
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Metrics:
    """The counters of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.requests = Counter(
            "caiwutong_http_requests_total",
            "HTTP requests answered, by route group and status.",
            ["route", "status"],
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "caiwutong_http_request_seconds",
            "Time from the request's first byte to the last byte of its answer.",
            ["route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.refusals = Counter(
            "caiwutong_refusals_total",
            "Refusals by their stable code.",
            ["code"],
            registry=self.registry,
        )
        self.intake_batch = Histogram(
            "caiwutong_intake_batch_size",
            "Payment requests taken in together.",
            buckets=_SIZES,
            registry=self.registry,
        )
        self.intake_waiting = Gauge(
            "caiwutong_intake_waiting",
            "Payment requests waiting for their batch.",
            registry=self.registry,
        )
        self.viewers = Gauge(
            "caiwutong_event_viewers",
            "Open event streams.",
            registry=self.registry,
        )

    def render(self) -> bytes:
        """The text a Prometheus server scrapes."""
        return generate_latest(self.registry)


class _Line(msgspec.Struct, omit_defaults=True):
    at: datetime
    level: str
    logger: str
    message: str
    error: str = ""


class JsonFormatter(logging.Formatter):
    """One JSON object a line; an exception's traceback is one field of it."""

    def format(self, record: logging.LogRecord) -> str:
        line = _Line(
            datetime.fromtimestamp(record.created, UTC),
            record.levelname.lower(),
            record.name,
            record.getMessage(),
            self.formatException(record.exc_info) if record.exc_info else "",
        )
        return msgspec.json.encode(line).decode()


def log_to(stream: TextIO | None = None, level: str = "INFO") -> None:
    """Send all logs of this process to ``stream`` (default: standard error) as JSON lines."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
