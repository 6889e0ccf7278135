"""ARCHITECTURE.md is compared with the tree, in both directions."""

from __future__ import annotations

import ast
import re
import tomllib

import pytest

from caiwutong.simulation.mutants import MUTANTS
from house.tree import ROOT, SOURCE, migrations

PAGE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (\d+) \| `(\w+)` \|", re.MULTILINE)
ROOMS = [(int(layer), room) for layer, room in ROW.findall(PAGE)]


def _section(title: str) -> str:
    return PAGE.split(f"## {title}")[1].split("\n## ")[0]


PROMISES = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in _section("Five promises").splitlines()
    if line.startswith("| **")
]


def _names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_every_room_is_on_the_map_and_nothing_else() -> None:
    there = {
        path.stem
        for path in SOURCE.iterdir()
        if (path.is_dir() and list(path.glob("*.py"))) or path.suffix == ".py"
    } - {"__init__", "__main__"}
    assert sorted(room for _, room in ROOMS) == sorted(there)


def test_the_layers_are_those_the_linter_holds() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = next(
        c for c in project["tool"]["importlinter"]["contracts"] if c["type"] == "layers"
    )
    layers = [set(re.findall(r"\w+", line)) for line in contract["layers"]]
    drawn = [
        {room for layer, room in ROOMS if layer == number} for number in range(1, len(layers) + 1)
    ]
    assert drawn == layers


def test_there_are_five_promises_with_all_their_guards() -> None:
    assert len(PROMISES) == 5
    for promise, guards, laws, shaken in PROMISES:
        assert _names(guards) and _names(laws) and "/" in shaken, promise


@pytest.mark.parametrize("guard", [g for row in PROMISES for g in _names(row[1])])
def test_a_named_guard_is_in_the_migrations(guard: str) -> None:
    made = rf"(?:CREATE (?:CONSTRAINT )?TRIGGER|CONSTRAINT|CREATE UNIQUE INDEX) {guard}\b"
    assert re.search(made, migrations())


@pytest.mark.parametrize("law", [n for row in PROMISES for n in _names(row[2])])
def test_a_named_law_is_a_test(law: str) -> None:
    file, _, name = law.partition("::")
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    assert name in {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }


@pytest.mark.parametrize("row", PROMISES, ids=lambda row: row[0].strip("*")[:2])
def test_the_simulation_watches_and_shakes_what_is_named(row: list[str]) -> None:
    watched, _, planted = row[3].partition("/")
    source = "\n".join(p.read_text(encoding="utf-8") for p in (SOURCE / "simulation").glob("*.py"))
    for name in _names(watched):
        assert f'"{name}"' in source
    for name in _names(planted):
        assert name in MUTANTS


@pytest.mark.parametrize(
    "file", sorted({n for n in _names(_section("Follow a payment")) if n.endswith(".py")})
)
def test_the_way_of_a_payment_leads_through_files_that_exist(file: str) -> None:
    assert (SOURCE / file).exists()


def test_the_map_is_one_page() -> None:
    assert len(PAGE.splitlines()) <= 80
