"""Writes docs/payment-states.md from the one table in ``payments/states.py``.

``python scripts/payment_states.py`` prints the page; ``--write`` puts it where it belongs.
"""

from __future__ import annotations

import sys
from pathlib import Path

from caiwutong.payments.states import TABLE, TERMINAL, WORDS, Effect, State, diagram

PAGE = Path(__file__).resolve().parent.parent / "docs" / "payment-states.md"
_EFFECTS = {
    Effect.SEND: "goes into the queue",
    Effect.ASK_LATER: "we ask if it stays silent",
    Effect.POST: "the hold becomes the transfer",
    Effect.RELEASE: "the hold is given back",
    Effect.TAKE_BACK: "the returned money is booked as a linked inflow",
    Effect.ALARM: "people must look",
}


def page() -> str:
    """The page in Markdown."""
    lines = [
        "# The life of a payment (付款状态)",
        "",
        "Made by `scripts/payment_states.py` from `src/caiwutong/payments/states.py`; the database "
        "holds the same steps in `payment_transitions`.",
        "",
        "| state | 状态 | in words | end |",
        "|---|---|---|---|",
    ]
    for state, (chinese, english) in WORDS.items():
        lines.append(
            f"| `{state}` | {chinese} | {english} | {'yes' if state in TERMINAL else ''} |"
        )
    lines += ["", "```mermaid", diagram(), "```", "", "| from | when | to | what follows |"]
    lines.append("|---|---|---|---|")
    for (state, event), step in TABLE.items():
        to = "stays" if step.to is state else f"`{step.to}`"
        follows = "; ".join(_EFFECTS[effect] for effect in step.effects)
        lines.append(f"| `{state}` | {event} | {to} | {follows} |")
    ends = ", ".join(f"`{state}`" for state in State if state in TERMINAL)
    lines += [
        "",
        f"Ends: {ends}. What is not in the table is refused when we ask for it, and changes "
        "nothing when a rail says it.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    if "--write" in sys.argv:
        PAGE.write_text(page(), encoding="utf-8")
    else:
        print(page(), end="")
