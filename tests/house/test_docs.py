"""The docs tell the truth about the tree: links lead somewhere, decisions are whole, codes are
listed, and nothing names a machine of ours."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from house.tree import ROOT, script, tracked

PAGES = sorted(str(p.relative_to(ROOT)) for p in tracked() if p.suffix == ".md")
LINK = re.compile(r"(?<!\!)\[[^\]]+\]\(([^)\s]+)\)")
FENCE = re.compile(r"```.*?```", re.DOTALL)
PRIVATE = re.compile(
    "|".join(
        [
            r"(?<![\w./])/" + r"(?:work|root|home/\w+|Users/\w+)/",
            r"\b(?:pypi|files\.pythonhosted|registry\.npmjs)\." + r"org\b",
            r"\bartifact" + r"ory\b",
            r"--(?:extra-)?index" + r"-url",
        ]
    )
)
MAY_NAME_HOME = ("tests/engines/", "src/caiwutong/engines/")
"""Tests of users without a home of their own write about /root."""


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    text = FENCE.sub("", (ROOT / page).read_text(encoding="utf-8"))
    for target in LINK.findall(text):
        if "://" in target or target.startswith(("mailto:", "#")):
            continue
        assert (ROOT / page).parent.joinpath(target.partition("#")[0]).exists(), target


def test_no_file_names_a_machine_or_a_registry() -> None:
    found: list[str] = []
    for path in tracked():
        name = str(path.relative_to(ROOT))
        if name.startswith(MAY_NAME_HOME) or name == "Makefile" or name.startswith("tests/data/"):
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if PRIVATE.search(line):
                found.append(f"{name}:{number}: {line.strip()[:80]}")
    assert found == []


DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))


@pytest.mark.parametrize("path", DECISIONS, ids=lambda p: p.stem)
def test_a_decision_says_why_what_and_at_which_price(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert re.match(r"# \d{4} \S", text), "number and name in the title"
    assert path.name.startswith(text[2:6])
    for part in ("## Context", "## What we do", "## What we accept"):
        assert part in text
    assert len(text.splitlines()) <= 60, "half a page"


def test_decisions_are_numbered_without_gap() -> None:
    assert [int(p.name[:4]) for p in DECISIONS] == list(range(1, len(DECISIONS) + 1))


class TestErrorCodes:
    SHARED = frozenset(
        {
            "bank_accounts.not_found", "money.not_positive", "money.unknown_currency",
            "payment.wrong_state",
        }
    )  # fmt: skip
    """Codes that two rooms give, because they mean the same thing in both. What ``sheets`` says of
    a cell is said of an import's cell too."""

    def test_the_page_lists_every_code_of_the_source(self) -> None:
        written = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
        assert written == script("error_codes").page(), "run: python scripts/error_codes.py --write"

    def test_a_code_has_one_meaning(self) -> None:
        places = script("error_codes").collect().places
        several = {
            code: sorted({p.module.split("/")[0] for p in found} - {"sheets"})
            for code, found in places.items()
            if code not in self.SHARED
        }
        assert {code: rooms for code, rooms in several.items() if len(rooms) > 1} == {}

    def test_codes_are_found_through_helpers_and_tables(self) -> None:
        places = script("error_codes").collect().places
        for code in (
            "ledger.insufficient",
            "ledger.hold_id_taken",
            "identifier.card.check_digit",
            "identity.no_such_person",
            "request.method_not_offered",
            "approvals.daily_limit",
        ):
            assert code in places
