"""Where the house's files are, and how its scripts are read."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCE = ROOT / "src" / "caiwutong"


@cache
def tracked() -> tuple[Path, ...]:
    """The files the repository holds, or would hold; all files where there is no repository."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT, check=True, capture_output=True, text=True,
        ).stdout.splitlines()  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        folders = ("src", "tests", "docs", "scripts")
        found = [p for folder in folders for p in (ROOT / folder).rglob("*") if p.is_file()]
        return tuple(p for p in (*found, *ROOT.glob("*.md")) if "__pycache__" not in p.parts)
    return tuple(p for name in listed if (p := ROOT / name).is_file())


@cache
def script(name: str) -> ModuleType:
    """A file of scripts/ as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def migrations() -> str:
    """All SQL of the migrations."""
    files = sorted((SOURCE / "db" / "migrations").glob("*.sql"))
    return "\n".join(file.read_text(encoding="utf-8") for file in files)
