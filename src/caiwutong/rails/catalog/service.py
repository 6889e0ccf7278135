"""The living catalog: what is known now, and how it changes.

Promises: ``current`` never waits and never fails; what another process records is seen here within
a poll (a second); facts are recorded once, append-only, each change told to the log in the same
transaction; a message of a network is applied once however often it comes; a change that would let
more through waits for another person's signature (``changes.second_person``).
Approvals stand above this room: they are reached through ``Signatures``, bound in the wiring.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Protocol, runtime_checkable
from uuid import UUID

import msgspec

from caiwutong.audit.service import Audit
from caiwutong.db.database import Database, Tx
from caiwutong.kernel.clock import Clock
from caiwutong.kernel.errors import Broken, CaiwutongError, NotFound, Refused
from caiwutong.kernel.ids import Ids
from caiwutong.rails.catalog.changes import (
    MOST_FACTS,
    MOST_WORDS,
    Change,
    ChangeState,
    checked,
    digest_of,
    second_person,
)
from caiwutong.rails.catalog.model import Fact, Withdrawal
from caiwutong.rails.catalog.notices import by_message, facts_of
from caiwutong.rails.catalog.rules import Catalog, shipped
from caiwutong.rails.catalog.store import LAST_ID, CatalogStore, kind_of, recorded
from caiwutong.rails.contract import Notice

log = logging.getLogger(__name__)

POLL_S = 1.0
"""Real seconds between looks at what others recorded."""
NETWORK = UUID(int=0)
"""The maker of a change that a network announced."""
_SIGNERS = 1


class Signatures(Protocol):
    """The part of approvals a change needs; see ``approvals.signing``."""

    async def ask(
        self, tx: Tx, tenant: str, change: Change, needed: int, now: datetime
    ) -> None: ...

    async def withdraw(self, tx: Tx, tenant: str, change_id: UUID, now: datetime) -> None: ...

    async def withdrawn(self, tx: Tx, tenant: str, change_id: UUID) -> bool:
        """Whether the request for signatures was taken back."""
        ...


@runtime_checkable
class Dated(Protocol):
    """A rail that asks the catalog for itself."""

    def go_by(self, catalog: Callable[[], Catalog]) -> None: ...


class _DryRun(Exception):
    """Undoes a transaction whose answer is only wanted, not kept."""


class Catalogs:
    """The catalog of every tenant of this installation."""

    def __init__(
        self,
        store: CatalogStore,
        *,
        database: Database,
        audit: Audit | None,
        ids: Ids,
        clock: Clock,
        signatures: Signatures | None = None,
        base: Catalog | None = None,
    ) -> None:
        """``base``: what every tenant knows before it records anything; the shipped facts unless
        told. Without ``signatures`` a change that needs one is refused."""
        self._store = store
        self._database = database
        self._audit = audit
        self._ids = ids
        self._clock = clock
        self._signatures = signatures
        self._base = base or shipped()
        self._known: dict[str, Catalog] = {}

    # -- reading

    def current(self, tenant: str) -> Catalog:
        """What is known to this tenant now; at most a poll behind other processes."""
        return self._known.get(tenant, self._base)

    def tell_rails(self, rails: Iterable[object], tenant: str) -> None:
        """Let the rails that ask the catalog go by what this tenant knows now."""
        for rail in rails:
            if isinstance(rail, Dated):
                rail.go_by(lambda: self.current(tenant))

    async def refresh(self) -> int:
        """Take in what was recorded since; how many tenants had news."""
        async with self._database.transaction() as tx:
            versions = await self._store.versions(tx)
            behind = {t: v for t, v in versions.items() if v > self.current(t).version}
            for tenant, version in behind.items():
                self._take(tenant, await self._read(tx, tenant, version))
        return len(behind)

    async def keep_fresh(self, stop: asyncio.Event, *, every_s: float = POLL_S) -> None:
        """Refresh until told to stop: the loop of every process that asks the catalog. While the
        database is away, what was known stays in force."""
        stopping = asyncio.ensure_future(stop.wait())
        try:
            while not stop.is_set():
                try:
                    await self.refresh()
                except CaiwutongError as error:
                    log.warning("catalog: %s", error)
                except Exception:
                    log.exception("catalog: unexpected")
                await asyncio.wait({stopping}, timeout=every_s)
        finally:
            stopping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await stopping

    async def _read(self, tx: Tx, tenant: str, version: int) -> Catalog:
        known = self.current(tenant)
        if version <= known.version:
            return known
        more = await self._store.facts_after(tx, tenant, known.version, version)
        return known.with_facts(more, version)

    def _take(self, tenant: str, catalog: Catalog) -> None:
        if catalog.version > self.current(tenant).version:
            self._known[tenant] = catalog

    async def change(self, tx: Tx, tenant: str, change_id: UUID) -> Change:
        """One change and where it stands. Raises NotFound."""
        found = await self._store.change(tx, tenant, change_id)
        if found is None:
            raise NotFound(
                "catalog.no_such_change",
                f"There is no change {change_id} of the catalog.",
                "List the changes and name one of them.",
            )
        return await self._with_state(tx, tenant, found)

    async def changes(
        self, tx: Tx, tenant: str, before: UUID | None = None, limit: int = 100
    ) -> list[Change]:
        """A page of changes, newest first."""
        found = await self._store.changes(tx, tenant, before or LAST_ID, limit)
        return [await self._with_state(tx, tenant, change) for change in found]

    async def _with_state(self, tx: Tx, tenant: str, change: Change) -> Change:
        if change.state is not ChangeState.WAITING or self._signatures is None:
            return change
        if await self._signatures.withdrawn(tx, tenant, change.change_id):
            return msgspec.structs.replace(change, state=ChangeState.WITHDRAWN)
        return change

    # -- changing

    async def propose(
        self,
        tenant: str,
        facts: Sequence[Fact],
        *,
        reason: str,
        maker: UUID,
        actor: str,
        dry_run: bool = False,
    ) -> Change:
        """Record facts, or ask for the signature they need. The change as it then stands: APPLIED,
        or WAITING for ``needed`` other people. With ``dry_run`` the same answer, nothing kept.
        Raises Refused for facts that say nothing sensible."""
        _check_size(facts, reason)
        good = [checked(fact) for fact in facts]
        proposed: Change | None = None
        try:
            async with self._database.transaction() as tx:
                proposed = await self._propose(tx, tenant, good, reason.strip(), maker, actor)
                if dry_run:
                    raise _DryRun
        except _DryRun:
            pass
        assert proposed is not None
        return proposed

    async def _propose(
        self, tx: Tx, tenant: str, facts: list[Fact], reason: str, maker: UUID, actor: str
    ) -> Change:
        now = self._clock.now()
        before = await self._read(tx, tenant, await self._store.lock(tx, tenant))
        _check_withdrawals(before, facts)
        because = second_person(before, facts, now)
        change = self._change(facts, reason, maker, actor, because, "", now)
        await self._store.insert_change(tx, tenant, change)
        if not because:
            return await self._apply(tx, tenant, before, change, now)
        if self._signatures is None:
            raise Refused(
                "catalog.nobody_signs",
                f"Another person must agree ({because[0]}), and nobody can be asked here.",
                "Use an installation where people sign.",
            )
        await self._signatures.ask(tx, tenant, change, _SIGNERS, now)
        await self._tell(tx, tenant, "catalog.proposed", change, now)
        return change

    async def confirmed(self, tx: Tx, tenant: str, change_id: UUID, digest: bytes) -> None:
        """Enough people signed: the facts count from now on. Called by approvals inside the
        signing transaction."""
        version = await self._store.lock(tx, tenant)
        change = await self.change(tx, tenant, change_id)
        if digest != change.digest or digest_of(change_id, change.facts) != digest:
            raise Broken(
                "catalog.change_altered",
                f"The facts of change {change_id} are not those that people signed.",
                "Someone changed the row; look at the audit trail, and propose the change again.",
            )
        if change.state is not ChangeState.APPLIED:
            before = await self._read(tx, tenant, version)
            await self._apply(tx, tenant, before, change, self._clock.now())

    async def withdraw(self, tx: Tx, tenant: str, change_id: UUID, actor: str) -> Change:
        """Take back a change that waits. One that counts is answered with ``Refused``: record a
        newer fact, or a ``Withdrawal``."""
        now = self._clock.now()
        if self._signatures is not None:
            await self._signatures.withdraw(tx, tenant, change_id, now)
        change = await self.change(tx, tenant, change_id)
        if change.state is ChangeState.APPLIED:
            raise Refused(
                "catalog.applied",
                f"Change {change_id} counts already.",
                "Record a newer fact, or one of kind withdrawal that names the fact.",
            )
        await self._tell(tx, tenant, "catalog.withdrawn", change, now, actor)
        return await self.change(tx, tenant, change_id)

    async def hear(self, tenant: str, notices: Sequence[Notice]) -> list[Change]:
        """Apply what a network announced under its own signature, each message once. What is not
        understood is told to the log, and does not hold up the rest."""
        if not notices:
            return []
        applied: list[Change] = []
        async with self._database.transaction() as tx:
            now = self._clock.now()
            before = await self._read(tx, tenant, await self._store.lock(tx, tenant))
            messages = by_message(notices)
            known = await self._store.known_messages(tx, tenant, messages)
            for key, of_message in messages.items():
                if key in known:
                    continue
                facts = await self._facts_of(tx, tenant, before, of_message)
                if not facts:
                    continue
                change = self._change(
                    facts, of_message[0].words[:MOST_WORDS] or key, NETWORK,
                    f"network:{of_message[0].rail}", [], key, now,
                )  # fmt: skip
                await self._store.insert_change(tx, tenant, change)
                applied.append(await self._apply(tx, tenant, before, change, now))
                before = before.with_facts(applied[-1].facts, before.version + 1)
        return applied

    async def _facts_of(
        self, tx: Tx, tenant: str, before: Catalog, notices: Sequence[Notice]
    ) -> list[Fact]:
        try:
            return facts_of(before, notices)
        except Refused as refusal:
            first = notices[0]
            await self._log(
                tx, tenant, "catalog.notice_refused", NETWORK, f"network:{first.rail}",
                {"message_id": first.message_id, "code": refusal.code, "detail": refusal.detail},
            )  # fmt: skip
            return []

    def _change(
        self,
        facts: Sequence[Fact],
        reason: str,
        maker: UUID,
        actor: str,
        because: Sequence[str],
        message_key: str,
        now: datetime,
    ) -> Change:
        change_id = self._ids.new()
        named = tuple(msgspec.structs.replace(fact, fact_id=str(self._ids.new())) for fact in facts)
        return Change(
            change_id=change_id,
            maker=maker,
            actor=actor,
            reason=reason,
            facts=named,
            digest=digest_of(change_id, named),
            needed=_SIGNERS if because else 0,
            because=tuple(because),
            message_key=message_key,
            proposed_at=now,
        )

    async def _apply(
        self, tx: Tx, tenant: str, before: Catalog, change: Change, now: datetime
    ) -> Change:
        facts = recorded(change.facts, now)
        version = before.version + 1
        await self._store.apply(tx, tenant, change, facts, version, now)
        after = before.with_facts(facts, version)
        await self._tell(tx, tenant, "catalog.changed", change, now, version=version)
        tx.after_commit(lambda: self._take(tenant, after))
        return msgspec.structs.replace(change, facts=facts, state=ChangeState.APPLIED)

    async def _tell(
        self,
        tx: Tx,
        tenant: str,
        kind: str,
        change: Change,
        now: datetime,
        actor: str = "",
        *,
        version: int | None = None,
    ) -> None:
        body: dict[str, object] = {
            "reason": change.reason,
            "digest": change.digest.hex(),
            "because": change.because,
            "message": change.message_key,
            "version": version,
            "facts": [
                {"fact": kind_of(f), "id": f.fact_id, "rail": f.rail, "from": f.valid_from,
                 "until": f.valid_until, "source": f.source}
                for f in change.facts
            ],
        }  # fmt: skip
        await self._log(tx, tenant, kind, change.change_id, actor or change.actor, body)

    async def _log(
        self, tx: Tx, tenant: str, kind: str, subject: UUID, actor: str, body: dict[str, object]
    ) -> None:
        if self._audit is None:
            return
        event = self._audit.event(
            tenant, kind, actor=actor, subject_kind="catalog", subject_id=subject, body=body
        )
        await self._audit.append_many(tx, [event])


def _check_size(facts: Sequence[Fact], reason: str) -> None:
    if not 0 < len(facts) <= MOST_FACTS:
        raise Refused(
            "catalog.no_facts", f"A change has one to {MOST_FACTS} facts.", "Send some facts."
        )
    if not 0 < len(reason.strip()) <= MOST_WORDS:
        raise Refused(
            "catalog.no_reason",
            "A change says why it is made.",
            "Give a reason of at most 500 characters, for example the notice it follows.",
        )


def _check_withdrawals(before: Catalog, facts: Sequence[Fact]) -> None:
    for fact in facts:
        if isinstance(fact, Withdrawal) and before.fact(fact.withdraws) is None:
            raise Refused(
                "catalog.no_such_fact",
                f"There is no fact {fact.withdraws[:60]!r} that could be taken back.",
                "List the facts and name one of them.",
            )
