"""What the seed decides: which faults strike a run, how often, and every number drawn.

Each run takes its own selection of faults (swarm testing: a fault that is always there hides what
only shows without it). Each stream of randomness is its own, so that drawing more of one thing does
not change another.
"""

from __future__ import annotations

import random
from collections import Counter
from enum import StrEnum

from caiwutong.simulation.trace import Trace


class Fault(StrEnum):
    """What can go wrong."""

    CONNECTION_REFUSED = "connection_refused"
    BANK_AWAY = "bank_away"
    """Every connection is refused for minutes."""
    REQUEST_LOST = "request_lost"
    REQUEST_LATE = "request_late"
    """No answer in time; the bank gets the bytes minutes to hours later. An enquiry in between is
    answered *not found*, truthfully."""
    REQUEST_TWICE = "request_twice"
    REPLY_LOST = "reply_lost"
    REPLY_LATE = "reply_late"
    REPLY_GARBAGE = "reply_garbage"
    REPLY_BADLY_SIGNED = "reply_badly_signed"
    ENQUIRY_UNANSWERED = "enquiry_unanswered"
    BANK_SLOW = "bank_slow"
    """Seconds to an hour from the acknowledgement to the end."""
    BANK_SILENT = "bank_silent"
    """Acknowledged, then nothing for hours."""
    CHANNEL_MUTE = "channel_mute"
    """One channel takes messages and says nothing for hours, longer than they stay valid."""
    QUOTA_USED = "quota_used"
    """The netting quota is used up: a definite no of the channel's own."""
    FUNDS_SHORT = "funds_short"
    """The settlement account is short: the payment queues, perhaps until the day ends."""
    NOTICE_LOST = "notice_lost"
    NOTICE_TWICE = "notice_twice"
    NOTICE_LATE = "notice_late"
    NOTICE_GARBLED = "notice_garbled"
    """A notice that cannot be trusted comes before the good one."""
    NOTICE_OUT_OF_ORDER = "notice_out_of_order"
    """A notice is overtaken by those after it."""
    CRASH_ANY_TIME = "crash_any_time"
    CRASH_BEFORE_COMMIT = "crash_before_commit"
    CRASH_AFTER_COMMIT = "crash_after_commit"
    CRASH_BEFORE_SEND = "crash_before_send"
    CRASH_BEFORE_SETTLE = "crash_before_settle"
    """The bank has it, and we die before its answer is settled."""
    DATABASE_AWAY = "database_away"
    LOST_BEFORE_COMMIT = "lost_before_commit"
    LOST_AFTER_COMMIT = "lost_after_commit"
    WORKERS_AWAY = "workers_away"
    """No worker runs for more than a week: holds end before their orders leave the house."""
    STALL = "stall"
    """A process stands still for minutes between two transactions: its leases end meanwhile."""
    CLIENT_SENDS_AGAIN = "client_sends_again"
    """The same order again while the first call may still run, through another API process."""
    CLIENT_REUSES_KEY = "client_reuses_key"
    """The same key with other content."""


_USUAL: dict[Fault, float] = {
    Fault.CONNECTION_REFUSED: 0.04,
    Fault.BANK_AWAY: 0.5,
    Fault.REQUEST_LOST: 0.04,
    Fault.REQUEST_LATE: 0.10,
    Fault.REQUEST_TWICE: 0.05,
    Fault.REPLY_LOST: 0.05,
    Fault.REPLY_LATE: 0.05,
    Fault.REPLY_GARBAGE: 0.03,
    Fault.REPLY_BADLY_SIGNED: 0.03,
    Fault.ENQUIRY_UNANSWERED: 0.08,
    Fault.BANK_SLOW: 0.10,
    Fault.BANK_SILENT: 0.04,
    Fault.CHANNEL_MUTE: 0.6,
    Fault.QUOTA_USED: 0.15,
    Fault.FUNDS_SHORT: 0.2,
    Fault.NOTICE_LOST: 0.08,
    Fault.NOTICE_TWICE: 0.08,
    Fault.NOTICE_LATE: 0.08,
    Fault.NOTICE_GARBLED: 0.03,
    Fault.NOTICE_OUT_OF_ORDER: 0.06,
    Fault.CRASH_ANY_TIME: 0.8,
    Fault.CRASH_BEFORE_COMMIT: 0.003,
    Fault.CRASH_AFTER_COMMIT: 0.003,
    Fault.CRASH_BEFORE_SEND: 0.02,
    Fault.CRASH_BEFORE_SETTLE: 0.02,
    Fault.DATABASE_AWAY: 0.005,
    Fault.LOST_BEFORE_COMMIT: 0.006,
    Fault.LOST_AFTER_COMMIT: 0.006,
    Fault.WORKERS_AWAY: 0.08,
    Fault.STALL: 0.004,
    Fault.CLIENT_SENDS_AGAIN: 0.15,
    Fault.CLIENT_REUSES_KEY: 0.10,
}
"""How likely each fault strikes at each occasion. BANK_AWAY, CHANNEL_MUTE and
CRASH_ANY_TIME: an hour;
WORKERS_AWAY: a run."""


class Chance:
    """The seed's streams of randomness, and its faults."""

    def __init__(self, seed: int, trace: Trace) -> None:
        self._trace = trace
        self.loop = random.Random(f"{seed}/loop")
        self.bank = random.Random(f"{seed}/bank")
        self.people = random.Random(f"{seed}/people")
        self.delays = random.Random(f"{seed}/delays")
        self.keys = random.Random(f"{seed}/keys")
        self._faults = random.Random(f"{seed}/faults")
        scale = self._faults.choice((0.6, 1.0, 1.0, 1.8))
        self.plan = {
            fault: usual * scale for fault, usual in _USUAL.items() if self._faults.random() < 0.75
        }
        self.healed = False
        self.struck: Counter[Fault] = Counter()

    def strikes(self, fault: Fault, about: str = "") -> bool:
        """Whether this fault happens now. Counted when it does; never once healed."""
        likely = self.plan.get(fault)
        if likely is None or self.healed or self._faults.random() >= likely:
            return False
        self.struck[fault] += 1
        self._trace.tell("fault", f"{fault.value} {about}")
        return True

    def hourly(self, fault: Fault) -> float | None:
        """Seconds until this fault strikes next, by its hourly rate; None when it never does."""
        likely = self.plan.get(fault)
        if likely is None or self.healed:
            return None
        return self._faults.expovariate(likely / 3600)

    def struck_now(self, fault: Fault, about: str = "") -> None:
        """Count a fault that came by its hourly rate."""
        self.struck[fault] += 1
        self._trace.tell("fault", f"{fault.value} {about}")

    def bytes(self, n: int) -> bytes:
        """Random bytes for ids and keys: the kernel's ``Randomness``."""
        return self.keys.randbytes(n)
