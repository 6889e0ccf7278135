"""The rows of the catalog in PostgreSQL, and the port both stores keep."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

import msgspec

from caiwutong.db.database import Tx
from caiwutong.db.postgres import Row, columns, pg
from caiwutong.db.queries import load as load_queries
from caiwutong.rails.catalog.changes import Change, ChangeState, fact_bytes
from caiwutong.rails.catalog.model import Fact

_sql = load_queries(__package__ or "")
_fact = msgspec.json.Decoder(Fact)
_facts = msgspec.json.Decoder(tuple[Fact, ...])

LAST_ID = UUID(int=2**128 - 1)


class CatalogStore(Protocol):
    """Rows of the catalog: one for PostgreSQL, one in memory, one contract suite for both."""

    async def lock(self, tx: Tx, tenant: str) -> int:
        """The present version; no other change of this tenant until the transaction ends."""
        ...

    async def versions(self, tx: Tx) -> dict[str, int]:
        """The version of every tenant that recorded anything."""
        ...

    async def facts_after(self, tx: Tx, tenant: str, version: int, until: int) -> list[Fact]:
        """The facts of later versions, up to and including ``until``, as recorded."""
        ...

    async def insert_change(self, tx: Tx, tenant: str, change: Change) -> None: ...

    async def apply(
        self,
        tx: Tx,
        tenant: str,
        change: Change,
        facts: Sequence[Fact],
        version: int,
        now: datetime,
    ) -> None:
        """Record a change's facts as this version, under the lock."""
        ...  # fmt: skip

    async def known_messages(self, tx: Tx, tenant: str, keys: Collection[str]) -> set[str]: ...

    async def change(self, tx: Tx, tenant: str, change_id: UUID) -> Change | None:
        """Its state is WAITING or APPLIED; who was withdrawn is known to approvals."""
        ...

    async def changes(self, tx: Tx, tenant: str, before: UUID, limit: int) -> list[Change]: ...


class PostgresCatalogStore:
    """The catalog in PostgreSQL."""

    async def lock(self, tx: Tx, tenant: str) -> int:
        version = await pg(tx).value(_sql["lock_version"], tenant)
        if version is None:
            await pg(tx).execute(_sql["open_version"], tenant)
            version = await pg(tx).value(_sql["lock_version"], tenant)
        return int(version)

    async def versions(self, tx: Tx) -> dict[str, int]:
        return {row[0]: row[1] for row in await pg(tx).fetch(_sql["versions"])}

    async def facts_after(self, tx: Tx, tenant: str, version: int, until: int) -> list[Fact]:
        rows = await pg(tx).fetch(_sql["facts_after"], tenant, version, until)
        return [_fact.decode(row[0]) for row in rows]

    async def insert_change(self, tx: Tx, tenant: str, change: Change) -> None:
        c = change
        await pg(tx).execute(
            _sql["insert_change"], tenant, c.change_id, c.maker, c.actor, c.reason,
            fact_bytes(c.facts), c.digest, c.needed, list(c.because), c.message_key, c.proposed_at,
        )  # fmt: skip

    async def apply(
        self, tx: Tx, tenant: str, change: Change, facts: Sequence[Fact], version: int,
        now: datetime,
    ) -> None:  # fmt: skip
        await pg(tx).execute(_sql["raise_version"], tenant, version)
        rows = [
            (
                place, UUID(f.fact_id), kind_of(f), f.rail, f.valid_from, f.valid_until,
                fact_bytes(f),
            )
            for place, f in enumerate(facts)
        ]  # fmt: skip
        await pg(tx).execute(
            _sql["insert_facts"], tenant, version, change.change_id, now, *columns(rows, 7)
        )

    async def known_messages(self, tx: Tx, tenant: str, keys: Collection[str]) -> set[str]:
        rows = await pg(tx).fetch(_sql["known_messages"], tenant, list(keys))
        return {row[0] for row in rows}

    async def change(self, tx: Tx, tenant: str, change_id: UUID) -> Change | None:
        row = await pg(tx).fetch_one(_sql["change"], tenant, change_id)
        return None if row is None else _change(row)

    async def changes(self, tx: Tx, tenant: str, before: UUID, limit: int) -> list[Change]:
        return [_change(r) for r in await pg(tx).fetch(_sql["changes"], tenant, before, limit)]


def kind_of(fact: Fact) -> str:
    """The name of a fact's kind, as it is written in files and bodies."""
    return str(type(fact).__struct_config__.tag)


def recorded(facts: Sequence[Fact], at: datetime) -> tuple[Fact, ...]:
    """The facts as they count since this moment."""
    return tuple(msgspec.structs.replace(fact, recorded_at=at) for fact in facts)


def _change(row: Row) -> Change:
    applied_at: datetime | None = row["applied_at"]
    facts = _facts.decode(row["facts"])
    return Change(
        change_id=row["change_id"],
        maker=row["maker"],
        actor=row["actor"],
        reason=row["reason"],
        facts=facts if applied_at is None else recorded(facts, applied_at),
        digest=row["digest"],
        needed=row["needed"],
        because=tuple(row["because"]),
        message_key=row["message_key"],
        proposed_at=row["proposed_at"],
        state=ChangeState.WAITING if applied_at is None else ChangeState.APPLIED,
    )
