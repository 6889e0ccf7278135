"""Who is examined: one line a connector. ``sandboxed(rail, style=…)`` for what the sandbox speaks;
any function from a folder to an async context of a ``Subject`` for the rest."""

from __future__ import annotations

from tests.rails.conformance.sandboxed import NO_PAPERS, Factory, sandboxed

SUBJECTS: dict[str, Factory] = {
    "bank_direct/cmb": sandboxed("bank_direct", style="cmb"),
    "ibps": sandboxed("ibps", lacks=NO_PAPERS),
    "beps": sandboxed("beps", lacks=NO_PAPERS),
}
