"""``caiwutong bank-file`` and ``caiwutong statement``: the files that a person carries between the
house and a bank's page.

``export`` writes the file to carry, ``result`` hands in what the bank answered, ``statement``
hands in the account's statement; ``abandon`` asks two people to sign that a file was never
uploaded, and ``sign`` signs in a demo person's place.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from datetime import date
from pathlib import Path
from uuid import UUID

from caiwutong.approvals.model import Decided, Subject
from caiwutong.bank_files.model import RELEASE, FileState, FileView
from caiwutong.cli.common import Shown, Subparsers, add, house
from caiwutong.cli.payments import find_person
from caiwutong.cli.seed import load_credentials, load_people, sign_as
from caiwutong.kernel.errors import Refused
from caiwutong.kernel.money import yuan
from caiwutong.wiring import Services

ACTS = ("list", "show", "export", "result", "abandon", "sign", "withdraw")


def add_commands(subparsers: Subparsers) -> None:
    files = add(subparsers, "bank-file", _bank_file, "Files that a person carries to a bank.")
    files.add_argument("act", nargs="?", choices=ACTS, default="list")
    files.add_argument("file", nargs="?", default="", help="file id (sign, withdraw: proposal id)")
    files.add_argument("upload", nargs="?", type=Path, help="result: the file the bank gave")
    files.add_argument("--state", action="append", choices=[s.value for s in FileState])
    files.add_argument("--out", type=Path, default=Path("."), help="export: folder or file")
    files.add_argument("--reason", default="", help="abandon: how you know it")
    files.add_argument("--line", type=int, action="append", help="abandon: only these rows")
    files.add_argument("--as", dest="signer", default="", help="sign as this demo person")
    files.add_argument("--limit", type=int, default=20)
    statement = add(subparsers, "statement", _statement, "Import a statement file of an account.")
    statement.add_argument("act", choices=["import"])
    statement.add_argument("file", type=Path)
    statement.add_argument("--account", required=True, help="own account number")
    statement.add_argument(
        "--choose", action="append", default=[], help="LINE=REFERENCE or LINE=none, if ambiguous"
    )
    statement.add_argument(
        "--complete-to", type=date.fromisoformat, help="last day the file shows whole (2026-07-03)"
    )
    statement.add_argument("--dry-run", action="store_true", help="only say what would happen")


async def _bank_file(arguments: argparse.Namespace) -> Shown:
    async with house(arguments) as services:
        if arguments.act == "list":
            return await _list(services, arguments)
        try:
            named = UUID(arguments.file)
        except ValueError as error:
            raise Refused(
                "cli.bad_id", f"{arguments.file[:40]!r} is no id.", "Copy it whole."
            ) from error
        return await _ACTS[arguments.act](services, named, arguments)


async def _list(services: Services, arguments: argparse.Namespace) -> Shown:
    states = [FileState(s) for s in arguments.state] if arguments.state else None
    found = await services.bank_files.views.page(
        services.settings.tenant, states=states, limit=arguments.limit
    )
    lines = [_line(file) for file in found] or ["no bank files yet"]
    return Shown({"files": found}, "\n".join(lines))


def _line(file: FileView) -> str:
    needs = f"  needs: {file.needs}" if file.needs else ""
    late = "  OVERDUE" if file.overdue else ""
    digest = f"  sha256 {file.digest}" if file.digest else ""
    return (
        f"{file.file_id}  {file.day} #{file.number}  {file.state.value:<9} {file.rows:>5} rows "
        f"{yuan(file.total_fen):>18}  {file.template}{needs}{late}{digest}"
    )


async def _show(services: Services, file_id: UUID, _: argparse.Namespace) -> Shown:
    views, tenant = services.bank_files.views, services.settings.tenant
    file = await views.get(tenant, file_id)
    rows = await views.lines(tenant, file_id)
    releases = await views.releases(tenant, file_id)
    lines = [_line(file)]
    lines += [
        f"  {row.line_no:>4}  {row.reference}  {yuan(row.amount_fen):>16}  {row.state.value:<9} "
        f"{row.payee_name} {row.payee_account} {row.words}"
        for row in rows
    ]
    lines += [
        f"  proposal {r.release_id}: rows {', '.join(map(str, r.line_nos))}, {r.state}: {r.reason}"
        for r in releases
    ]
    return Shown({"file": file, "lines": rows, "releases": releases}, "\n".join(lines))


async def _export(services: Services, file_id: UUID, arguments: argparse.Namespace) -> Shown:
    made = await services.bank_files.files.export(
        services.settings.tenant, file_id, "cli:bank-file"
    )
    path = await asyncio.to_thread(_write, arguments.out, made.file_name, made.content)
    facts = {
        "file_id": made.file_id, "file": str(path), "sha256": made.digest, "again": made.again,
    }  # fmt: skip
    again = " (the same bytes as before)" if made.again else ""
    words = (
        f"wrote {path}{again}\nsha256 {made.digest}\n"
        "Upload it to the bank's page once, authorise it there, and hand in its result:\n"
        f"  caiwutong bank-file result {made.file_id} RESULT_FILE"
    )
    return Shown(facts, words)


async def _result(services: Services, file_id: UUID, arguments: argparse.Namespace) -> Shown:
    path = arguments.upload
    if path is None:
        raise Refused("cli.no_file", "No result file is named.", "Name it after the file id.")
    outcome = await services.bank_files.results.take(
        services.settings.tenant, file_id, await _bytes(path), file_name=path.name,
        actor="cli:bank-file",
    )  # fmt: skip
    lines = [
        f"settled {outcome.settled}, rejected {outcome.rejected}, accepted {outcome.accepted}, "
        f"in doubt {outcome.doubt}, not mentioned {len(outcome.missing)}"
        + (" (this very file was here before)" if outcome.replayed else "")
    ]
    if outcome.missing:
        lines.append(f"  rows the bank says nothing of: {', '.join(map(str, outcome.missing))}")
    lines += [f"  row {each.row_no} of the result: {each.why}" for each in outcome.unclear]
    return Shown(outcome, "\n".join(lines))


async def _abandon(services: Services, file_id: UUID, arguments: argparse.Namespace) -> Shown:
    release = await services.bank_files.releases.propose(
        services.settings.tenant,
        file_id,
        maker=load_credentials(services.settings.data_dir).api_key_id,
        actor="cli:bank-file",
        reason=arguments.reason,
        line_nos=arguments.line,
    )
    words = (
        f"proposal {release.release_id}: two people must sign that the bank never got "
        f"{len(release.line_nos)} row(s). Nothing is freed before:\n"
        f"  caiwutong bank-file sign {release.release_id} --as NAME"
    )
    return Shown(release, words)


async def _sign(services: Services, release_id: UUID, arguments: argparse.Namespace) -> Shown:
    """Sign in a demo person's place: the demo tenant only (their keys lie in the data folder)."""
    tenant = services.settings.tenant
    person = find_person(load_people(services.settings.data_dir), arguments.signer)
    release = await services.bank_files.releases.view(tenant, release_id)
    subject = Subject(RELEASE, release_id, bytes.fromhex(release.digest))
    async with services.database.transaction() as tx:
        outcome = await sign_as(tx, services, subject, person)
    done = isinstance(outcome, Decided)
    words = "the rows are free" if done else f"{outcome.missing} more signature(s) needed"
    return Shown({"decided": done}, f"signed by {person.name} ({person.role}): {words}")


async def _withdraw(services: Services, release_id: UUID, _: argparse.Namespace) -> Shown:
    release = await services.bank_files.releases.withdraw(
        services.settings.tenant, release_id, "cli:bank-file"
    )
    return Shown(release, f"proposal {release.release_id} is {release.state}")


async def _statement(arguments: argparse.Namespace) -> Shown:
    choices: dict[str, str] = {}
    for each in arguments.choose:
        line, _, reference = each.partition("=")
        choices[line] = reference
    async with house(arguments) as services:
        tenant = services.settings.tenant
        async with services.database.transaction() as tx:
            own = await services.bank_accounts.by_number(tx, tenant, arguments.account)
        if not own:
            raise Refused(
                "cli.not_our_account",
                f"…{arguments.account[-4:]} is no bank account of ours.",
                "List them with GET /v1/bank-accounts.",
            )
        outcome = await services.bank_files.statement_files.take(
            tenant,
            own[0].bank_account_id,
            await _bytes(arguments.file),
            actor="cli:statement",
            choices=choices,
            complete_to=arguments.complete_to,
            dry_run=arguments.dry_run,
        )
    shown_to = outcome.complete_to or "no day yet"
    lines = [
        f"{outcome.lines} lines, {outcome.fresh} new, {outcome.matched} laid to payments by amount "
        f"and payee; {outcome.settled} payment(s) settled, {outcome.taken_back} given back by the "
        f"bank; complete to {shown_to}" + ("" if outcome.taken else " (nothing was taken)")
    ]
    lines += [
        f"  {a.line_id}  {a.day.isoformat()}  {yuan(a.amount_fen):>16}  {a.payee}: one of "
        f"{', '.join(a.candidates)}"
        for a in outcome.ambiguous
    ]
    return Shown(outcome, "\n".join(lines))


def _write(out: Path, name: str, content: bytes) -> Path:
    path = out / name if out.is_dir() else out
    path.write_bytes(content)
    return path


async def _bytes(path: Path) -> bytes:
    try:
        return await asyncio.to_thread(path.read_bytes)
    except OSError as error:
        raise Refused(
            "cli.no_file", f"{path.name} cannot be read ({error.strerror}).", "Check the path."
        ) from error


_ACTS: dict[str, Callable[[Services, UUID, argparse.Namespace], Awaitable[Shown]]] = {
    "show": _show,
    "export": _export,
    "result": _result,
    "abandon": _abandon,
    "sign": _sign,
    "withdraw": _withdraw,
}
