"""The verifier: shows that sealed events are as they were sealed, or names the first that is not.

It walks events and batches side by side, in the order of sealing, and holds one batch at a time.
Nothing in the database is trusted but what the vault's key has signed: each batch's head is checked
by its signature, the events against the head, and the heads against those exported outside. So an
edit, a deletion, an insertion, a reordering, a cut tail or a rewritten batch shows, even when a
superuser made it. Events that are not sealed yet (the last moment's) are counted, not judged.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from caiwutong.audit.heads import Head, SignedHead, read_heads
from caiwutong.audit.store import AuditStore, PostgresAuditStore
from caiwutong.audit.walk import Finding, Walk, Wrong
from caiwutong.db.database import Database
from caiwutong.kernel.errors import Broken


class AuditReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was checked, and the first bad record of each tenant that has one."""

    tenants: int
    events: int
    batches: int
    heads: int
    unsealed: int
    """Events committed but not sealed yet: normally those of the last second."""
    findings: list[Finding]
    ok: bool

    @property
    def unexported(self) -> int:
        """Batches without a witness outside: normally none, or those of the last moment."""
        return self.batches - self.heads

    @property
    def first_bad(self) -> Finding | None:
        return self.findings[0] if self.findings else None


async def verify(
    database: Database, heads_file: Path, public_key: bytes, store: AuditStore | None = None
) -> AuditReport:
    """Check every sealed event of every tenant against batches, heads and ``heads_file``.

    ``public_key``: ``Vault.head_public_key``. Streams; a tenant's check ends at its first finding.
    """
    store = store or PostgresAuditStore()
    exported, findings = _exported_tenants(heads_file, public_key)
    async with database.transaction() as tx:
        tenants = sorted({*await store.tenants(tx), *exported})
    events = batches = heads = unsealed = 0
    for tenant in tenants:
        walk = Walk(store, tenant, public_key, _heads_of(heads_file, tenant))
        try:
            async with database.transaction() as tx:
                await walk.run(tx)
        except Wrong as wrong:
            findings.append(wrong.finding)
        events, batches = events + walk.events, batches + walk.batches
        heads, unsealed = heads + walk.heads, unsealed + walk.unsealed
    if batches and not exported and not findings:
        detail = f"{batches} batches are sealed, but {heads_file.name} holds no head."
        findings.append(_file_finding(None, detail, "head_missing"))
    return AuditReport(
        tenants=len(tenants),
        events=events,
        batches=batches,
        heads=heads,
        unsealed=unsealed,
        findings=findings,
        ok=not findings,
    )


async def compare_with_witness(
    database: Database, file: Path, public_key: bytes, store: AuditStore | None = None
) -> Finding | None:
    """The first head that a witness kept and the database no longer stands by; None: all agree.
    With ``verify`` finding nothing, no event up to the witness's last head was touched."""
    store = store or PostgresAuditStore()
    any_kept = False
    try:
        async with database.transaction() as tx:
            for line in read_heads(file):
                any_kept = True
                head = line.decoded()
                if not line.is_signed_by(public_key):
                    return _file_finding(head, f"A line of {file.name} is not signed by the key.")
                found = await store.batches_after(tx, head.tenant, head.batch_no - 1, 1)
                if not found or found[0].head != bytes(line.head):
                    what = "history_rewritten" if found else "tail_missing"
                    detail = (
                        f"The witness kept head {head.batch_no} of {head.size} events; the "
                        f"database {'has another one' if found else 'ends before it'}."
                    )
                    return _file_finding(head, detail, what)
    except Broken as broken:
        return _file_finding(None, f"{file.name}: {broken.detail}")
    if not any_kept:
        return _file_finding(None, f"{file.name} holds no head, or is not there.", "head_missing")
    return None


def _exported_tenants(path: Path, public_key: bytes) -> tuple[set[str], list[Finding]]:
    """The tenants of the file, and its first head that was not signed by the vault."""
    tenants: set[str] = set()
    number = 0
    try:
        for number, line in enumerate(read_heads(path), 1):
            head = line.decoded()
            if not line.is_signed_by(public_key):
                detail = f"Line {number} of {path.name} is not signed by the vault's key."
                return tenants, [_file_finding(head, detail)]
            tenants.add(head.tenant)
    except Broken as broken:
        detail = f"{path.name}, after line {number}: {broken.detail}"
        return tenants, [_file_finding(None, detail)]
    return tenants, []


def _heads_of(path: Path, tenant: str) -> Iterator[SignedHead]:
    """This tenant's exported heads, up to the first line that cannot be read (reported above)."""
    try:
        for line in read_heads(path):
            if line.decoded().tenant == tenant:
                yield line
    except Broken:
        return


def _file_finding(head: Head | None, detail: str, what: str = "head_altered") -> Finding:
    return Finding(
        tenant=head.tenant if head else "",
        what=what,
        detail=detail,
        batch_no=head.batch_no if head else 0,
    )
