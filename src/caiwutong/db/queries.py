"""SQL has names: queries live in ``.sql`` files beside their store, each under ``-- name: …``."""

from __future__ import annotations

import re
from importlib.resources import files

_NAME = re.compile(r"^-- name: ([a-z_0-9]+)$", re.MULTILINE)


def load(package: str, file: str = "store.sql") -> dict[str, str]:
    """The named queries of one file: name → SQL. Comments under a name stay with the SQL, so the
    server's log shows them."""
    parts = _NAME.split(files(package).joinpath(file).read_text(encoding="utf-8"))
    return {name: body.strip() for name, body in zip(parts[1::2], parts[2::2], strict=True)}
