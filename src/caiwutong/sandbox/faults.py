"""How the sandbox misbehaves: by seed and by scenario, the same for the same reference each time.

A *rule* says which fault, with which probability, on which channel and at which bank, and in which
window of business time. Whether it strikes a reference depends on ``hash(seed, rule, reference)``
and on nothing else: not on timing, not on order, not on what other references do. Profiles are
ready sets of rules; any other set can be put in as JSON (``Plan``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

import msgspec

from caiwutong.kernel.errors import Refused


class FaultKind(StrEnum):
    """What can go wrong, seen from the hub."""

    SLOW = "slow"
    """The answer to a request comes ``delay_s`` business seconds late; the work is done at once."""
    LOST_REQUEST = "lost_request"
    """The request never arrives: nothing is done, the connection breaks (the first ``times``)."""
    LOST_REPLY = "lost_reply"
    """Executed, but the first answer is lost (the connection breaks)."""
    LOST_NOTICE = "lost_notice"
    """No notice about this payment is ever pushed: only asking tells."""
    DUPLICATE = "duplicate"
    """Every push about this payment comes twice."""
    LATE = "late"
    """No answer, and nothing done for ``delay_s``; then it is executed after all (within its
    business date)."""
    OUT_OF_ORDER = "out_of_order"
    """The payee bank's yes is pushed after the netting notice it belongs before."""
    WRONG_SIGNATURE = "wrong_signature"
    """The first answer carries a signature that does not fit; it was executed."""
    OUTAGE = "outage"
    """The bank (or the front-end) cannot be reached: ``mode`` reset, 503 or blackhole."""
    SILENT = "silent"
    """The payee's bank (or the direct bank) acknowledges and then says nothing until healed."""
    SLOW_BANK = "slow_bank"
    """The payee's bank answers after ``delay_s`` business seconds."""
    REJECT = "reject"
    """The payee's bank refuses with ``code``."""
    OVERCHARGE = "overcharge"
    """The payer's bank takes a wrong fee; ``mode`` twice (two fee lines) or next_band (the fee of
    the next dearer band)."""
    RETURN = "return"
    """The money is returned (退汇) ``delay_s`` business seconds after it was netted."""
    LOST_ROW = "lost_row"
    """The web page drops this row of an uploaded file: not executed, in no result."""
    MISSING_ROW = "missing_row"
    """The web page executes the row and leaves it out of its result files."""
    ODD_WORD = "odd_word"
    """The result says of the row what stands in no description of the format."""
    REORDERED = "reordered"
    """The rows of the result stand in another order than those uploaded."""


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One way to misbehave. Empty ``channel`` and ``bank`` mean any."""

    kind: FaultKind
    probability: float = 1.0
    channel: str = ""
    """``ibps``, ``beps``, ``hvps`` or ``bank_direct``: the way the payment came in."""
    bank: str = ""
    """联行号 of the bank concerned: the payee's for SILENT, SLOW_BANK, REJECT and RETURN, else the
    one that was spoken to."""
    delay_s: float = 0.0
    """Business seconds, for the kinds that wait."""
    code: str = "RJ90"
    """Reject code, for REJECT."""
    mode: str = "reset"
    """For OUTAGE: ``reset`` (connection broken), ``503``, or ``blackhole`` (never an answer). For
    OVERCHARGE: ``twice``, or anything else for the next dearer band."""
    times: int = 1
    """How many arrivals of the same reference are struck, for the kinds that lose something."""
    since: datetime | None = None
    until: datetime | None = None
    """Window of business time; open where None."""


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A seed and its rules."""

    seed: int = 1
    name: str = "custom"
    rules: tuple[Rule, ...] = ()


_K = FaultKind

PROFILES: dict[str, tuple[Rule, ...]] = {
    "none": (),
    "mild": (
        Rule(kind=_K.SLOW, probability=0.01, delay_s=3),
        Rule(kind=_K.LOST_REPLY, probability=0.004),
        Rule(kind=_K.SLOW_BANK, probability=0.01, delay_s=20),
        Rule(kind=_K.DUPLICATE, probability=0.01),
    ),
    "demo": (
        Rule(kind=_K.LOST_REQUEST, probability=0.003),
        Rule(kind=_K.LOST_REPLY, probability=0.005),
        Rule(kind=_K.LOST_NOTICE, probability=0.003),
        Rule(kind=_K.LATE, probability=0.002, delay_s=120),
        Rule(kind=_K.SLOW, probability=0.005, delay_s=2),
        Rule(kind=_K.SLOW_BANK, probability=0.01, delay_s=60),
        Rule(kind=_K.DUPLICATE, probability=0.02),
        Rule(kind=_K.OUT_OF_ORDER, probability=0.01),
        Rule(kind=_K.WRONG_SIGNATURE, probability=0.002),
        Rule(kind=_K.REJECT, probability=0.004, code="RJ95"),
        Rule(kind=_K.RETURN, probability=0.002, delay_s=3600),
        Rule(kind=_K.MISSING_ROW, probability=0.01),
        Rule(kind=_K.ODD_WORD, probability=0.01),
        Rule(kind=_K.REORDERED, probability=0.3),
    ),
    "rough": (
        Rule(kind=_K.LOST_REQUEST, probability=0.03),
        Rule(kind=_K.LOST_REPLY, probability=0.05),
        Rule(kind=_K.LOST_NOTICE, probability=0.03),
        Rule(kind=_K.LATE, probability=0.02, delay_s=600),
        Rule(kind=_K.SLOW, probability=0.03, delay_s=10),
        Rule(kind=_K.SLOW_BANK, probability=0.05, delay_s=180),
        Rule(kind=_K.DUPLICATE, probability=0.10),
        Rule(kind=_K.OUT_OF_ORDER, probability=0.05),
        Rule(kind=_K.WRONG_SIGNATURE, probability=0.02),
        Rule(kind=_K.REJECT, probability=0.02, code="RJ95"),
        Rule(kind=_K.RETURN, probability=0.01, delay_s=3600),
        Rule(kind=_K.MISSING_ROW, probability=0.05),
        Rule(kind=_K.ODD_WORD, probability=0.05),
        Rule(kind=_K.REORDERED, probability=0.5),
    ),
}
"""Ready plans. The probabilities are ours: a few payments in a thousand for ``demo``, in a hundred
for ``rough``."""


def plan_named(name: str, seed: int) -> Plan:
    """The ready plan of this name. Refused for a name that is not in ``PROFILES``."""
    rules = PROFILES.get(name)
    if rules is None:
        raise Refused(
            "sandbox.unknown_faults",
            f"There is no fault profile {name[:32]!r}.",
            f"Choose one of {', '.join(PROFILES)}, or put a plan of your own as JSON.",
        )
    return Plan(seed, name, rules)


def chance(seed: int, what: str, reference: str) -> float:
    """A number in [0, 1) that belongs to this seed, thing and reference for ever."""
    digest = hashlib.blake2b(f"{seed}|{what}|{reference}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


class Faults:
    """Answers whether a fault strikes a reference now. Counts arrivals in memory only: after a
    restart a lossy fault may strike a reference once more, which real networks do as well."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.struck: dict[str, int] = {}
        """How often each kind has struck, for people who look."""
        self._arrivals: dict[tuple[int, str], int] = {}

    def put(self, plan: Plan) -> None:
        """Misbehave by this plan from now on."""
        self.plan = plan
        self._arrivals.clear()

    def strike(
        self, kind: FaultKind, reference: str, at: datetime, *, channel: str = "", bank: str = ""
    ) -> Rule | None:
        """The rule of this kind that strikes this reference now, or None."""
        for number, rule in enumerate(self.plan.rules):
            if rule.kind is kind and self._fits(rule, reference, at, channel, bank, number):
                if kind in _COUNTED and not self._count(number, rule, reference):
                    continue
                self.struck[kind] = self.struck.get(kind, 0) + 1
                return rule
        return None

    def _fits(
        self, rule: Rule, reference: str, at: datetime, channel: str, bank: str, number: int
    ) -> bool:
        if (rule.channel and rule.channel != channel) or (rule.bank and rule.bank != bank):
            return False
        if (rule.since and at < rule.since) or (rule.until and at >= rule.until):
            return False
        if rule.probability >= 1.0:
            return True
        return chance(self.plan.seed, f"{number}:{rule.kind}", reference) < rule.probability

    def _count(self, number: int, rule: Rule, reference: str) -> bool:
        key = (number, reference)
        seen = self._arrivals.get(key, 0)
        if seen < rule.times:
            self._arrivals[key] = seen + 1
        return seen < rule.times

    def heal(self, kinds: Iterable[FaultKind] = (), bank: str = "") -> int:
        """Drop rules: of these kinds (all when empty), at this bank (any when empty). Gives how
        many were dropped."""
        wanted = frozenset(kinds)
        kept = tuple(
            rule
            for rule in self.plan.rules
            if (wanted and rule.kind not in wanted) or (bank and rule.bank not in ("", bank))
        )
        dropped = len(self.plan.rules) - len(kept)
        self.put(Plan(self.plan.seed, "healed" if dropped else self.plan.name, kept))
        return dropped


_COUNTED = frozenset(
    {
        FaultKind.LOST_REQUEST,
        FaultKind.LOST_REPLY,
        FaultKind.LATE,
        FaultKind.WRONG_SIGNATURE,
        FaultKind.SLOW,
    }
)
