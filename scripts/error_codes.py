"""Lists every error code of the house, read from the source, and writes docs/errors.md.

``python scripts/error_codes.py`` prints the page; ``--write`` puts it where it belongs. A code is
the first argument of an error of ``kernel/errors.py`` or of its daughters, or what reaches it
through a helper of the same file or one that imports it. Codes are for ever: a test compares the page with the source.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "caiwutong"
PAGE = ROOT / "docs" / "errors.md"
ROOT_ERROR = "CaiwutongError"
VALUE = "Refusal"
STATUS = {
    "Refused": "422", "Unauthorised": "401, 403", "Conflict": "409", "NotFound": "404",
    "Unavailable": "503", "InDoubt": "504", "Broken": "500", VALUE: "422",
}  # fmt: skip
CODE = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)*")
LEFT_OUT = ("sandbox", "simulation", "benchmarks")
"""Rooms that do not speak to users: the other side of the wire, and the instruments."""


@dataclass(frozen=True)
class Place:
    """One place in the source that gives a code."""

    module: str
    status: str
    detail: str
    cure: str


@dataclass
class Codes:
    """All codes with their places, and the places whose code could not be read."""

    places: dict[str, list[Place]] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)


class Module:
    """One source file, with who encloses what and who calls whom."""

    def __init__(self, path: Path, errors: dict[str, str]) -> None:
        self.name = str(path.relative_to(SOURCE))
        self.tree = ast.parse(path.read_text(encoding="utf-8"))
        self.errors = errors
        self.importers: dict[str, list[Module]] = {}
        """Modules that import a function of this one, by its name."""
        self.inside: dict[ast.AST, ast.FunctionDef | ast.AsyncFunctionDef | None] = {}
        self._enclose(self.tree, None)
        self.calls = [n for n in ast.walk(self.tree) if isinstance(n, ast.Call)]
        self.constants = {
            target.id: node.value
            for node in self.tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        } | {
            node.target.id: node.value
            for node in self.tree.body
            if isinstance(node, ast.AnnAssign)
            and isinstance(node.target, ast.Name)
            and node.value is not None
        }

    def _enclose(self, node: ast.AST, function: ast.FunctionDef | None) -> None:
        for child in ast.iter_child_nodes(node):
            self.inside[child] = function
            within = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef))
            self._enclose(child, child if within else function)  # type: ignore[arg-type]

    def imported(self) -> Iterator[tuple[str, str]]:
        """Module (as ``Module.name``) and name of everything imported from our own source."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("caiwutong."):
                path = str(node.module).removeprefix("caiwutong.").replace(".", "/") + ".py"
                yield from ((path, alias.name) for alias in node.names)

    def places(self) -> Iterator[tuple[set[str], Place, int]]:
        for call in self.calls:
            kind = self.errors.get(_called(call), "")
            if _called(call) == "__init__":
                kind = self._base_of(call)
            # An error that brings its own HTTP status has it before the code.
            status = _status(call)
            first = 0 if status is None else 1
            code = _argument(call, first, "code")
            if not kind or code is None:
                continue
            place = Place(
                self.name,
                STATUS[kind] if status is None else str(status),
                self.words(_argument(call, first + 1, "detail"), call),
                self.words(_argument(call, first + 2, "cure"), call),
            )
            yield self.read(code, call), place, call.lineno

    def _base_of(self, call: ast.Call) -> str:
        """The family of the class whose ``__init__`` calls its parent's here."""
        function = self.inside.get(call)
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ClassDef) and function in node.body:
                return self.errors.get(node.name, "")
        return ""

    def read(self, node: ast.expr, at: ast.AST, depth: int = 0) -> set[str]:
        """Every text this expression can be, as far as this file tells."""
        if isinstance(node, ast.Constant):
            return {node.value} if isinstance(node.value, str) else set()
        if isinstance(node, ast.IfExp):
            return self.read(node.body, at, depth) | self.read(node.orelse, at, depth)
        if isinstance(node, ast.JoinedStr):
            parts = [
                self.read(p.value if isinstance(p, ast.FormattedValue) else p, at, depth)
                for p in node.values
            ]
            return {"".join(chosen) for chosen in product(*parts)}
        if isinstance(node, ast.Name) and depth < 4:
            return self._named(node.id, at, depth)
        return set()

    def _named(self, name: str, at: ast.AST, depth: int) -> set[str]:
        function = self.inside.get(at)
        if function is None:
            constant = self.constants.get(name)
            return set() if constant is None else self.read(constant, at, depth + 1)
        given = [a.arg for a in (*function.args.posonlyargs, *function.args.args)]
        shift = 1 if given[:1] in (["self"], ["cls"]) else 0
        if name in given or name in [a.arg for a in function.args.kwonlyargs]:
            position = given.index(name) - shift if name in given else 99
            found: set[str] = set()
            for module in (self, *self.importers.get(function.name, ())):
                for call in module.calls:
                    argument = _argument(call, position, name)
                    if _called(call) == function.name and argument is not None:
                        found |= module.read(argument, call, depth + 1)
            return found
        assigned = [
            value
            for node in ast.walk(function)
            if isinstance(node, ast.Assign)
            for value in self._assigned(node, name)
        ]
        if not assigned and name in self.constants:
            assigned = [self.constants[name]]
        return {text for value in assigned for text in self.read(value, at, depth + 1)}

    def _assigned(self, node: ast.Assign, name: str) -> list[ast.expr]:
        """What ``name = value`` or ``name, … = TABLE[key]`` gives the name."""
        target, value = node.targets[0], node.value
        if isinstance(target, ast.Name) and target.id == name:
            return [value]
        if not (isinstance(target, ast.Tuple) and isinstance(value, ast.Subscript)):
            return []
        names = [getattr(each, "id", "") for each in target.elts]
        table = self.constants.get(getattr(value.value, "id", ""))
        if name not in names or not isinstance(table, ast.Dict):
            return []
        rows = [row for row in table.values if isinstance(row, ast.Tuple)]
        return [row.elts[names.index(name)] for row in rows]

    def words(self, node: ast.expr | None, at: ast.AST) -> str:
        """The sentence with its values left open."""
        if node is None:
            return ""
        if isinstance(node, ast.Name):
            found = sorted(self.read(node, at))
            return found[0] if len(found) == 1 else ""
        if isinstance(node, ast.BinOp):
            return self.words(node.left, at) + self.words(node.right, at)
        if isinstance(node, ast.JoinedStr):
            return "".join(
                str(p.value) if isinstance(p, ast.Constant) else "‹…›" for p in node.values
            )
        return str(node.value) if isinstance(node, ast.Constant) else ""


def _called(call: ast.Call) -> str:
    function = call.func
    return function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")


def _status(call: ast.Call) -> int | None:
    first = call.args[0] if call.args else None
    return first.value if isinstance(first, ast.Constant) and type(first.value) is int else None


def _argument(call: ast.Call, position: int, name: str) -> ast.expr | None:
    if position < len(call.args):
        return call.args[position]
    return next((k.value for k in call.keywords if k.arg == name), None)


def family() -> dict[str, str]:
    """Each class of error with the one of ``STATUS`` it descends from."""
    bases: dict[str, str] = {}
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and node.bases:
                base = node.bases[0]
                bases[node.name] = base.id if isinstance(base, ast.Name) else ""
    found = {name: name for name in STATUS}
    for name in bases:
        ancestor = name
        while ancestor in bases and ancestor not in STATUS:
            ancestor = bases[ancestor]
        if ancestor in STATUS:
            found[name] = ancestor
    return found


def collect() -> Codes:
    """Every code of the source."""
    codes, errors = Codes(), family()
    modules = [
        Module(path, errors)
        for path in sorted(SOURCE.rglob("*.py"))
        if path.relative_to(SOURCE).parts[0] not in LEFT_OUT
    ]
    by_name = {module.name: module for module in modules}
    for module in modules:
        for source, name in module.imported():
            if source in by_name:
                by_name[source].importers.setdefault(name, []).append(module)
    for module in modules:
        for read, place, line in module.places():
            good = {text for text in read if CODE.fullmatch(text)}
            for code in good:
                codes.places.setdefault(code, []).append(place)
            if not good:
                codes.unread.append(f"{place.module}:{line}")
    return codes


def page() -> str:
    """docs/errors.md."""
    codes = collect()
    lines = [
        "# Error codes (错误码)",
        "",
        "Every refusal says what, with which value (masked), and what helps. The code is for "
        "ever; the wording is not. Over HTTP it is a problem (RFC 9457) with `code`, `detail` and "
        "`cure`; in a batch it stands in the place of its order. *Status* is the HTTP status when "
        "it answers a whole request. Made by `scripts/error_codes.py`.",
    ]
    for area in sorted({code.partition(".")[0] for code in codes.places}):
        lines += ["", f"## {area}", "", "| code | status | says | cure |", "|---|---|---|---|"]
        for code, places in sorted(codes.places.items()):
            if code.split(".")[0] == area:
                statuses = ", ".join(sorted({p.status for p in places}))
                told = max(places, key=lambda p: (bool(p.cure), bool(p.detail)))
                lines.append(
                    f"| `{code}` | {statuses} | {_cell(told.detail)} | {_cell(told.cure)} |"
                )
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").strip()


if __name__ == "__main__":
    if "--write" in sys.argv:
        PAGE.write_text(page(), encoding="utf-8")
    else:
        print(page(), end="")
