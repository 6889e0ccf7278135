"""``caiwutong audit``: prove the log against its signed heads, stand witness to it from another
machine, and hand out evidence that proves itself."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable, Coroutine
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import msgspec

from caiwutong.approvals.model import Subject
from caiwutong.approvals.rules import signed_bytes
from caiwutong.audit.evidence import Packed, pack_period, pack_subject
from caiwutong.audit.proof import GrowthProof
from caiwutong.audit.store import PostgresAuditStore
from caiwutong.audit.verify import AuditReport, compare_with_witness, verify
from caiwutong.audit.witness import Witness
from caiwutong.benchmarks.requests import secret_of
from caiwutong.cli.common import Shown, Subparsers, add, engine_urls, house, settings_of
from caiwutong.cli.seed import DemoCredentials, load_credentials
from caiwutong.db.postgres import PostgresDatabase
from caiwutong.identity.http_signatures import sign
from caiwutong.kernel.clock import CHINA, SystemRandomness
from caiwutong.kernel.errors import Refused, Unavailable
from caiwutong.kernel.order import canonical_order
from caiwutong.payments.intake import SUBJECT
from caiwutong.payments.rules import order_digest
from caiwutong.settings import Settings
from caiwutong.vault.service import Vault
from caiwutong.wiring import Services

_GROWTH = "/v1/audit/growth"


def add_commands(subparsers: Subparsers) -> None:
    parser = add(
        subparsers, "audit", _audit,
        "Verify the audit log; stand witness to it; pack evidence that proves itself.",
    )  # fmt: skip
    parser.add_argument("act", choices=list(_ACTS))
    parser.add_argument("--heads", type=Path, help="exported heads (default: the data folder's)")
    parser.add_argument("--witness", type=Path, help="verify: what an outside witness kept")
    parser.add_argument("--payment", help="evidence: of this payment")
    parser.add_argument("--from", dest="start", help="evidence: sealed from this day in China")
    parser.add_argument("--until", help="evidence: and before this day")
    parser.add_argument("--out", type=Path, help="evidence: the archive to write")
    parser.add_argument("--url", help="witness: address of the API")
    parser.add_argument("--key", help="witness: the log's public key, hex")
    parser.add_argument("--keep", type=Path, help="witness: the file it keeps")
    parser.add_argument("--credentials", type=Path, help="witness: JSON with key_id and secret")
    parser.add_argument("--every", type=float, default=0, help="witness: again after so many s")


async def audit_report(settings: Settings, heads: Path | None = None) -> AuditReport:
    """Check every tenant's log against the heads exported outside the database."""
    report, _ = await _report(settings, heads, None)
    return report


async def _report(
    settings: Settings, heads: Path | None, witness: Path | None
) -> tuple[AuditReport, bytes]:
    vault = Vault.at(settings.key_dir, SystemRandomness(), create=False)
    key = vault.head_public_key
    database = await PostgresDatabase.connect(
        engine_urls(settings).database_url, role=None, name="audit-verify", max_size=2,
        command_timeout_s=600,
    )  # fmt: skip
    try:
        report = await verify(database, heads or settings.heads_dir / "heads.jsonl", key)
        found = await compare_with_witness(database, witness, key) if witness else None
    finally:
        await database.close()
    if found is not None:
        report = msgspec.structs.replace(report, findings=[*report.findings, found], ok=False)
    return report, key


async def _audit(arguments: argparse.Namespace) -> Shown:
    return await _ACTS[arguments.act](arguments)


async def _verify(arguments: argparse.Namespace) -> Shown:
    witness: Path | None = arguments.witness
    report, key = await _report(settings_of(arguments), arguments.heads, witness)
    lines = [
        f"{report.events} events in {report.batches} batches of {report.tenants} tenants, "
        f"{report.heads} heads outside, {report.unsealed} not sealed yet"
    ]
    lines += [
        f"BAD {f.tenant}: {f.what} at seq {f.seq}, event {f.event_id}: {f.detail}"
        for f in report.findings
    ]
    lines += [f"public key {key.hex()}", "verified" if report.ok else "NOT verified"]
    return Shown(report, "\n".join(lines), 0 if report.ok else 1)


async def _evidence(arguments: argparse.Namespace) -> Shown:
    async with house(arguments) as services:
        out: Path = arguments.out or Path("evidence.zip")
        began = time.perf_counter()
        packed = (
            await pack_payment(services, _payment_id(arguments.payment), out)
            if arguments.payment
            else await _pack_period(services, arguments.start, arguments.until, out)
        )
    took = time.perf_counter() - began
    words = (
        f"{packed.events:,} events under {packed.heads:,} signed heads in {packed.path} "
        f"({packed.bytes:,} bytes, {took:.1f} s)\n"
        f"Check it anywhere: unzip -p {packed.path} verify.py > verify.py; "
        f"python3 verify.py {packed.path} --key {packed.public_key}"
    )
    return Shown(packed, words)


async def pack_payment(services: Services, payment_id: UUID, out: Path) -> Packed:
    """The evidence of one payment: its events proved, how it stands, its attempts, the order as it
    was signed, and each person's signature with the key it was made with."""
    tenant = services.settings.tenant
    views = services.payments.views
    payment = await views.get(tenant, payment_id)
    timeline = await views.timeline(tenant, payment_id)
    order = await views.order(tenant, payment_id)
    digest = bytes.fromhex(payment.digest)
    async with services.database.transaction() as tx:
        rows = await services.approvals.signatures(tx, tenant, SUBJECT, payment_id)
    signatures = [
        {
            "person": str(row.person_id),
            "algorithm": row.algorithm,
            "public_key": row.public_key.hex(),
            "signature": row.signature.hex(),
            "signed_bytes": signed_bytes(tenant, Subject(SUBJECT, payment_id, row.digest)).hex(),
            "signed_at": row.signed_at,
        }
        for row in rows
    ]
    objects: dict[str, Any] = {
        "payment.json": payment,
        "attempts.json": timeline.attempts,
        "signatures.json": {
            "digest": digest.hex(),
            # A caller may have written out what is so by default: then only the digest is known.
            "order": canonical_order(order).decode() if order_digest(order) == digest else None,
            "signatures": signatures,
        },
    }
    return await pack_subject(
        services.database, PostgresAuditStore(), tenant, services.vault.head_public_key, SUBJECT,
        payment_id, services.clock.now(), out, objects,
    )  # fmt: skip


async def _pack_period(services: Services, start: str, until: str, out: Path) -> Packed:
    first, end = _day(start, "--from"), _day(until, "--until") if until else None
    end = end or services.clock.now() + timedelta(days=1)
    return await pack_period(
        services.database, PostgresAuditStore(), services.settings.tenant,
        services.vault.head_public_key, first, end, services.clock.now(), out,
    )  # fmt: skip


def _payment_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Refused(
            "cli.bad_payment_id", f"{text[:40]!r} is no payment id.", "Copy it from `payments`."
        ) from None


def _day(text: str | None, option: str) -> datetime:
    try:
        return datetime.combine(date.fromisoformat(text or ""), datetime.min.time(), CHINA)
    except ValueError:
        raise Refused(
            "cli.bad_day",
            f"{option} {(text or '')[:20]!r} is no day.",
            "Write it as 2026-11-01; or name one payment with --payment.",
        ) from None


async def _witness(arguments: argparse.Namespace) -> Shown:
    """Runs where the database is not: it needs the API's address, an API key, and the log's public
    key as it was told when the house was set up."""
    settings = settings_of(arguments)
    if arguments.key is None or arguments.keep is None:
        raise Refused(
            "audit.witness_needs",
            "A witness needs the log's public key and a file of its own.",
            "Give --key (shown by `caiwutong audit verify` on the house's machine) and --keep.",
        )
    witness = Witness(arguments.keep, bytes.fromhex(arguments.key))
    credentials = _credentials(arguments.credentials, settings)
    url = (arguments.url or settings.url).rstrip("/")
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        while True:
            proof = await _growth(session, url, credentials, witness.size)
            head = witness.keep(proof)
            words = f"kept head {head.batch_no}, {head.size:,} events" if head else "nothing new"
            if not arguments.every:
                break
            print(words, flush=True)
            await asyncio.sleep(arguments.every)
    return Shown({"heads": witness.kept, "events": witness.size, "grown": head is not None}, words)


async def _growth(
    session: aiohttp.ClientSession, url: str, credentials: DemoCredentials, size: int
) -> GrowthProof:
    query = f"size={size}"
    fields = sign(
        secret_of(credentials), credentials.key_id, method="GET", path=_GROWTH, query=query,
        created=int(time.time()),
    )  # fmt: skip
    try:
        async with session.get(f"{url}{_GROWTH}?{query}", headers=fields) as got:
            body = await got.read()
            if got.status != 200:
                raise Unavailable(
                    "audit.no_growth",
                    f"The API answered {got.status}: {body[:300].decode(errors='replace')}",
                    "A log that forgot a size it once signed was rewritten: verify it.",
                )
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise Unavailable(
            "audit.api_away", f"{url} does not answer ({error}).", "Nothing was kept; ask again."
        ) from error
    return msgspec.json.decode(body, type=_Grown).proof


class _Grown(msgspec.Struct, frozen=True):
    proof: GrowthProof


def _credentials(path: Path | None, settings: Settings) -> DemoCredentials:
    if path is None:
        return load_credentials(settings.data_dir)
    told = msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    return DemoCredentials(UUID(int=0), told["key_id"], told["secret"], "")


_ACTS: dict[str, Callable[[argparse.Namespace], Coroutine[Any, Any, Shown]]] = {
    "verify": _verify,
    "evidence": _evidence,
    "witness": _witness,
}
