"""Brings a database to this version: numbered SQL files applied in order by yoyo-migrations."""

from __future__ import annotations

from importlib.resources import as_file, files

import psycopg
from yoyo import get_backend, read_migrations  # pyright: ignore[reportUnknownVariableType]

from caiwutong.kernel.errors import Refused


def migrate(url: str) -> list[str]:
    """Apply what is missing, under a lock; the ids of the migrations applied now.

    ``url`` is a libpq URL of a role that owns the database, and may create roles or was granted
    ``caiwutong_app``; it need not be a superuser. Raises Refused where it may too little.
    """
    try:
        return _migrate(url)
    except psycopg.errors.InsufficientPrivilege as error:
        raise Refused(
            "db.not_permitted",
            f"This role may not bring the database up to date: {error.diag.message_primary}.",
            "Make it the owner of the database; and let it create roles, or as a superuser: "
            "GRANT caiwutong_app TO it.",
        ) from error


def _migrate(url: str) -> list[str]:
    backend = get_backend(_yoyo_url(url))
    with as_file(files("caiwutong.db") / "migrations") as folder:
        migrations = read_migrations(str(folder))
        with backend.lock():
            pending = backend.to_apply(migrations)
            names = [migration.id for migration in pending]
            backend.apply_migrations(pending)
    backend.connection.close()
    return names


def _yoyo_url(url: str) -> str:
    scheme, rest = url.split("://", 1)
    if scheme not in {"postgresql", "postgres"}:
        raise ValueError(f"not a PostgreSQL URL: {scheme}://…")
    return f"postgresql+psycopg://{rest}"
