"""``caiwutong audit verify``: prove the log against its signed heads."""

from __future__ import annotations

import argparse
from pathlib import Path

from caiwutong.audit.verify import AuditReport, verify
from caiwutong.cli.common import Shown, Subparsers, add, engine_urls, settings_of
from caiwutong.db.postgres import PostgresDatabase
from caiwutong.kernel.clock import SystemRandomness
from caiwutong.settings import Settings
from caiwutong.vault.service import Vault


def add_commands(subparsers: Subparsers) -> None:
    parser = add(subparsers, "audit", _audit, "Verify the audit log; name the first bad record.")
    parser.add_argument("act", choices=["verify"])
    parser.add_argument("--heads", type=Path, help="exported heads (default: the data folder's)")


async def audit_report(settings: Settings, heads: Path | None = None) -> AuditReport:
    """Check every tenant's log against the heads exported outside the database."""
    vault = Vault.at(settings.key_dir, SystemRandomness(), create=False)
    database = await PostgresDatabase.connect(
        engine_urls(settings).database_url, role=None, name="audit-verify", max_size=2,
        command_timeout_s=600,
    )  # fmt: skip
    try:
        return await verify(
            database, heads or settings.heads_dir / "heads.jsonl", vault.head_public_key
        )
    finally:
        await database.close()


async def _audit(arguments: argparse.Namespace) -> Shown:
    report = await audit_report(settings_of(arguments), arguments.heads)
    lines = [
        f"{report.events} events in {report.batches} batches of {report.tenants} tenants, "
        f"{report.heads} heads outside, {report.unsealed} not sealed yet"
    ]
    lines += [
        f"BAD {f.tenant}: {f.what} at seq {f.seq}, event {f.event_id}: {f.detail}"
        for f in report.findings
    ]
    lines.append("verified" if report.ok else "NOT verified")
    return Shown(report, "\n".join(lines), 0 if report.ok else 1)
