"""Time, chance and identifiers come through ports: only these files may ask the machine."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from house.tree import SOURCE

MAY = ("kernel/clock.py", "sandbox/", "simulation/", "engines/", "cli/", "benchmarks/",
       "audit/stand_alone.py")  # fmt: skip
"""The ports themselves, the other side of the wire, what handles real processes, and the program
that an auditor runs without us."""

MODULES = {"time", "random", "secrets"}
CALLS = {"now", "utcnow", "today", "uuid1", "uuid4", "urandom", "monotonic", "perf_counter"}
OWNERS = {"datetime", "date", "uuid", "os", "time"}


def asked_of_the_machine(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Each place where time, chance or an identifier comes from the machine itself."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                if name.name.split(".")[0] in MODULES:
                    yield node.lineno, name.name
        elif isinstance(node, ast.ImportFrom):
            if node.module in MODULES:
                yield node.lineno, str(node.module)
            for name in node.names:
                if name.name in CALLS and node.module in OWNERS:
                    yield node.lineno, f"{node.module}.{name.name}"
        elif isinstance(node, ast.Attribute) and node.attr in CALLS:
            owner = node.value
            name = owner.id if isinstance(owner, ast.Name) else getattr(owner, "attr", "")
            if name in OWNERS:
                yield node.lineno, f"{name}.{node.attr}"


PURE = sorted(
    str(p.relative_to(SOURCE))
    for p in SOURCE.rglob("*.py")
    if not str(p.relative_to(SOURCE)).startswith(MAY)
)


@pytest.mark.parametrize("path", PURE)
def test_nothing_else_asks_the_machine(path: str) -> None:
    tree = ast.parse((SOURCE / path).read_text(encoding="utf-8"))
    assert list(asked_of_the_machine(tree)) == []


@pytest.mark.parametrize(
    "line",
    [
        "import time", "from time import monotonic", "import random", "from secrets import choice",
        "from uuid import uuid4", "uuid.uuid1()", "datetime.now(UTC)", "datetime.datetime.utcnow()",
        "date.today()", "os.urandom(8)",
    ],
)  # fmt: skip
def test_the_ban_sees_each_way_of_asking(line: str) -> None:
    assert list(asked_of_the_machine(ast.parse(line)))


@pytest.mark.parametrize("line", ["clock.now()", "from uuid import UUID", "self._clock.now()"])
def test_the_ports_are_free(line: str) -> None:
    assert not list(asked_of_the_machine(ast.parse(line)))


def test_the_named_files_are_there() -> None:
    assert [name for name in MAY if not (SOURCE / Path(name)).exists()] == []
