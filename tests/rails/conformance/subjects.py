"""Who is examined: one line a connector. ``sandboxed(rail, style=…)`` for what the sandbox speaks;
any function from a folder to an async context of a ``Subject`` for the rest."""

from __future__ import annotations

from tests.rails.conformance.carried import carried
from tests.rails.conformance.sandboxed import NO_PAPERS, Factory, sandboxed
from tests.rails.conformance.subject import Trait

NO_NOTICES = {Trait.NOTICES: "the bank posts nothing by itself: only asking tells"}

SUBJECTS: dict[str, Factory] = {
    "bank_direct/boc": sandboxed("bank_direct", style="boc"),
    "bank_direct/cmb": sandboxed("bank_direct", style="cmb"),
    "bank_direct/cmb in batches": sandboxed(
        "bank_direct", style="cmb", entry={"batch_payments": 50}
    ),
    "bank_direct/icbc": sandboxed("bank_direct", style="icbc"),
    "bank_direct/icbc in GBK, one by one": sandboxed(
        "bank_direct", style="icbc", entry={"charset": "GBK", "batch_payments": 1}
    ),
    "bank_direct/pab": sandboxed(
        "bank_direct", style="pab", lacks=NO_NOTICES, entry={"batch_payments": 1}
    ),
    "bank_direct/pab in batches": sandboxed("bank_direct", style="pab", lacks=NO_NOTICES),
    "bank_file": carried(),
    "ibps": sandboxed("ibps", lacks=NO_PAPERS),
    "beps": sandboxed("beps", lacks=NO_PAPERS),
    "hvps": sandboxed("hvps", lacks=NO_PAPERS),
}
