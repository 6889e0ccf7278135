"""Brings a database to this version: numbered SQL files applied in order by yoyo-migrations."""

from __future__ import annotations

from importlib.resources import as_file, files

from yoyo import get_backend, read_migrations  # pyright: ignore[reportUnknownVariableType]


def migrate(url: str) -> list[str]:
    """Apply what is missing, under a lock; the ids of the migrations applied now.

    ``url`` is a libpq URL of a role that may create tables and roles.
    """
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
