"""Books written by an earlier version get the columns they lack, filled with what was true then."""

from __future__ import annotations

import sqlite3


def grow(db: sqlite3.Connection, table: str, **columns: str) -> None:
    """Add the columns the table lacks: name and declaration, which must have a default."""
    known = {row[1] for row in db.execute(f"PRAGMA table_info({table})")}
    for name, declaration in columns.items():
        if name not in known:
            db.execute(f"ALTER TABLE {table} ADD COLUMN {name} {declaration}")
