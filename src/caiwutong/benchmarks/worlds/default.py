"""The shipped worlds: the routing month, and the transfers inside the group.

The numbers are those the project set itself as its yardstick before the code was written; where
that page leaves one open, the choice is named here. ``python scripts/worlds.py --write`` writes
the files, a test holds them together.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path

import msgspec

from caiwutong.benchmarks.worlds.model import (
    Arrival,
    Clearing,
    Freeze,
    Maintenance,
    OwnBank,
    Payees,
    Silence,
    Traffic,
    World,
)
from caiwutong.kernel.clock import CHINA

FOLDER = Path(__file__).parent

_STATE = ("102", "103", "104", "105", "301")
_JOINT = ("308", "310", "302", "303", "304", "305", "306", "307", "309", "315", "316", "318")
_CITY = tuple(f"313{1000 + 97 * n}" for n in range(25))
_RURAL = tuple(f"402{1000 + 131 * n}" for n in range(18))

_DIRECT = ("bank_direct/book", "bank_direct/hvps", "bank_direct/beps", "bank_direct/ibps")
_SPONSORED = ("hvps", "beps", "ibps")
_FILE = ("bank_file", "third_party")

OWN_BANKS = (
    # Open in the yardstick: which bank offers what, and which discount is whose.
    OwnBank(bank="102", accounts=5, modes=(*_DIRECT, *_SPONSORED, "third_party"),
            discount_percent=10),
    OwnBank(bank="105", accounts=5, modes=(*_DIRECT, "third_party"), discount_percent=55),
    OwnBank(bank="308", accounts=5, modes=(*_DIRECT, *_SPONSORED, "third_party"),
            discount_percent=0),
    OwnBank(bank="310", accounts=5, modes=(*_DIRECT, "third_party"), discount_percent=80),
    OwnBank(bank="302", accounts=5, modes=(*_DIRECT, "third_party"), discount_percent=35),
    OwnBank(bank=_CITY[0], accounts=5, modes=(*_DIRECT, "third_party"), discount_percent=65),
    OwnBank(bank=_CITY[1], accounts=5, modes=_FILE, discount_percent=20),
    OwnBank(bank=_RURAL[0], accounts=5, modes=_FILE, discount_percent=45),
)  # fmt: skip

CLEARINGS = (
    Clearing(name="book", failure={"": 0.0005}, arrival={"": Arrival(median_s=2.0, sigma=0.3)}),
    Clearing(
        name="hvps", failure={"": 0.002}, arrival={"": Arrival(median_s=20.0, sigma=0.8)},
        working_hours=True,
    ),
    Clearing(
        # Acceptance takes seconds (open in the yardstick); half of the banks credit then.
        name="beps", failure={"": 0.008}, arrival={"": Arrival(median_s=10.0, sigma=0.5)},
        round_minutes=30, at_acceptance_share=0.5, limit_fen=1_000_000_00,
    ),
    Clearing(
        # Open in the yardstick: which hours are strained, and how much on ordinary days.
        name="ibps",
        failure={"state": 0.015, "joint_stock": 0.015, "city": 0.04, "rural": 0.09},
        arrival={
            "state": Arrival(median_s=6.0, sigma=1.0),
            "joint_stock": Arrival(median_s=6.0, sigma=1.0),
            "city": Arrival(median_s=45.0, sigma=1.0),
            "rural": Arrival(median_s=180.0, sigma=1.0),
        },
        bank_sigma=0.7, drift_sigma=0.2, strain_hours=(10, 15), strain_factor=1.5,
        strain_month_end=3.0, limit_fen=1_000_000_00,
    ),
    Clearing(
        # Open in the yardstick: how often it fails, and its limit.
        name="third_party", failure={"": 0.006}, arrival={"": Arrival(median_s=1.5, sigma=0.5)},
        limit_fen=1_000_000_00, fee_fen=30,
        freeze=Freeze(above_fen=200_000_00, probability=0.18),
    ),
    Clearing(
        # Open in the yardstick: a person uploads the file within hours.
        name="bank_file", failure={"": 0.01}, arrival={"": Arrival(median_s=7_200.0, sigma=0.6)},
    ),
)  # fmt: skip


def _at(day: date, hour: int) -> datetime:
    return datetime(day.year, day.month, day.day, hour, tzinfo=CHINA)


def _saturday(day: date, clearing: str) -> Maintenance:
    return Maintenance(
        clearing=clearing, start=_at(day, 0), end=_at(day, 8),
        announced=_at(day - timedelta(days=3), 12),
    )  # fmt: skip


def month() -> World:
    """200,000 payments in 30 days around 国庆节 2026 with its two exchanged working days."""
    return World(
        name="routing-month",
        from_day=date(2026, 9, 13),
        days=30,
        entities=10,
        traffic=Traffic(payments=200_000),
        payees=(
            Payees(kind="state", banks=_STATE, share=0.45),
            Payees(kind="joint_stock", banks=_JOINT, share=0.30),
            Payees(kind="city", banks=_CITY, share=0.17),
            Payees(kind="rural", banks=_RURAL, share=0.08),
        ),
        own_banks=OWN_BANKS,
        clearings=CLEARINGS,
        maintenance=tuple(
            _saturday(day, clearing)
            for day in (date(2026, 9, 19), date(2026, 9, 26))
            for clearing in ("beps", "ibps")
        ),
        silences=(
            Silence(
                bank="304", clearings=("ibps", "beps", "third_party"),
                start=_at(date(2026, 9, 22), 10),
            ),
        ),
    )  # fmt: skip


def internal() -> World:
    """20,000 transfers among the 37 member units of a group, at its eight banks."""
    base = month()
    return msgspec.structs.replace(
        base,
        name="internal-transfers",
        entities=37,
        traffic=Traffic(payments=20_000, internal=True),
        # Open in the yardstick: where the units bank. With these shares a static IBPS policy
        # fails in about 3.2 % of the transfers.
        payees=(
            Payees(kind="state", banks=("102", "105"), share=0.60),
            Payees(kind="joint_stock", banks=("308", "310", "302"), share=0.375),
            Payees(kind="city", banks=_CITY[:2], share=0.02),
            Payees(kind="rural", banks=_RURAL[:1], share=0.005),
        ),
        silences=(
            Silence(
                bank="302", clearings=("ibps", "beps", "third_party"),
                start=_at(date(2026, 9, 22), 10),
            ),
        ),
    )  # fmt: skip


SHIPPED = {"routing-month.json": month, "internal-transfers.json": internal}
"""The files in this folder, and what makes each."""


def text(world: World) -> str:
    """The world as its file holds it: only what differs from the defaults would hide numbers, so
    everything is written."""
    return msgspec.json.format(msgspec.json.encode(world), indent=2).decode() + "\n"
