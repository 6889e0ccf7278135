"""``caiwutong catalog``: what holds on the rails at a moment, and how it changes.

``show`` and ``facts`` read; ``import`` takes a file of facts (JSON or CSV), ``propose`` a single
fact (``propose limit rail=ibps amount=500000 valid_from=2027-01-01 source=…``), ``holidays`` the
State Council's notice as text or CSV; ``confirm`` and ``withdraw`` decide what waits; ``changes``
lists. Signing in a person's place works for the demo tenant only; elsewhere people sign over HTTP.
"""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from pathlib import Path
from uuid import UUID

from caiwutong.approvals.model import Subject
from caiwutong.cli.common import Shown, Subparsers, add, house
from caiwutong.cli.ledger import moment
from caiwutong.cli.payments import find_person
from caiwutong.cli.seed import load_people, sign_as
from caiwutong.kernel.clock import CHINA, china_date
from caiwutong.kernel.errors import Refused
from caiwutong.kernel.money import yuan
from caiwutong.rails.catalog.changes import SUBJECT, Change, ChangeState
from caiwutong.rails.catalog.files import COLUMNS, read_file
from caiwutong.rails.catalog.holidays import read_csv, read_notice
from caiwutong.rails.catalog.model import Closed, Fact, Limit, Open, Unknown
from caiwutong.rails.catalog.rules import Catalog
from caiwutong.rails.catalog.store import kind_of
from caiwutong.rails.catalog.views import CatalogView, RailView, look
from caiwutong.wiring import Services

ACTOR = "cli:operator"
OPERATOR = UUID(int=1)
"""The maker of a change proposed at the command line by nobody named."""


def add_commands(subparsers: Subparsers) -> None:
    parser = add(subparsers, "catalog", _catalog, "Limits, hours, fees, outages, working days.")
    parser.add_argument("act", nargs="?", choices=sorted(_ACTS), default="show")
    parser.add_argument("what", nargs="*", help="a file, a change id, or field=value …")
    parser.add_argument("--at", default="", help="the moment asked about; default: now")
    parser.add_argument("--known-at", default="", help="leave out what was recorded later")
    parser.add_argument("--bank", default="", help="first digits of a 联行号")
    parser.add_argument("--rail", default="", help="only this rail (facts)")
    parser.add_argument("--reason", default="", help="why the catalog changes")
    parser.add_argument("--as", dest="signer", default="", help="act as this demo person")
    parser.add_argument("--dry-run", action="store_true", help="say what would happen")


async def _catalog(arguments: argparse.Namespace) -> Shown:
    async with house(arguments) as services:
        return await _ACTS[arguments.act](services, arguments)


def _known(services: Services, arguments: argparse.Namespace) -> tuple[Catalog, datetime]:
    now = services.clock.now()
    catalog = services.catalogs.current(services.settings.tenant)
    if not arguments.known_at:
        return catalog, now
    known_at = moment(arguments.known_at)
    return catalog.known_at(known_at), known_at


async def _show(services: Services, arguments: argparse.Namespace) -> Shown:
    catalog, known_at = _known(services, arguments)
    at = moment(arguments.at) if arguments.at else services.clock.now()
    view = look(catalog, at, known_at, arguments.bank)
    return Shown(view, _words(view))


def _words(view: CatalogView) -> str:
    day = view.day
    kind = "working day" if day.working else "no working day"
    lines = [
        f"{_time(view.at)}  {day.day} is a {kind} ({day.reason}); next: {day.next_working_day}"
        + (f"  PROVISIONAL: {day.note}" if day.provisional else ""),
        f"calendar {view.calendar}, years {view.years_known[0]} to {view.years_known[1]}; "
        f"version {view.version}",
    ]
    return "\n".join(lines + [_rail(rail) for rail in view.rails])


def _rail(rail: RailView) -> str:
    match rail.state:
        case Open(until=until):
            state = f"open until {_time(until) if until else 'further notice'}"
        case Closed(until=until, why=why, words=words):
            opens = f"opens {_time(until)}" if until else "no opening in sight"
            state = f"closed ({why}: {words}), {opens}"
        case Unknown(why=why):
            state = f"unknown: {why}"
    note = "" if isinstance(rail.state, Unknown) or not rail.state.note else "  PROVISIONAL"
    planned = "".join(f"; outage from {_time(m.valid_from)}" for m in rail.maintenance[:3])
    cutoff = f", today's cut-off {_time(rail.cutoff)}" if rail.cutoff else ""
    return f"{rail.rail:<12} {state}{cutoff}; {_limit(rail.limit)}{planned}{note}"


def _limit(limit: Limit | None) -> str:
    if limit is None:
        return "no limit known: nothing is sent"
    if limit.per_payment_fen is None:
        return "no limit of its own"
    return f"up to {yuan(limit.per_payment_fen)}{'' if limit.inclusive else ' (exclusive)'}"


def _time(at: datetime) -> str:
    return f"{at.astimezone(CHINA):%Y-%m-%d %H:%M}"


async def _facts(services: Services, arguments: argparse.Namespace) -> Shown:
    catalog, _ = _known(services, arguments)
    found = [f for f in catalog.standing if not arguments.rail or f.rail == arguments.rail]
    return Shown(found, "\n".join(map(_fact, found)) or "no facts")


def _fact(fact: Fact) -> str:
    until = f" to {_time(fact.valid_until)}" if fact.valid_until else ""
    what = f"{kind_of(fact)} {fact.rail} {fact.bank}".strip()
    return f"{fact.fact_id}  {what} from {_time(fact.valid_from)}{until}  {fact.source}"


async def _import(services: Services, arguments: argparse.Namespace) -> Shown:
    path = _file(arguments)
    facts = read_file(path.name, _bytes(path))
    return await _propose_facts(services, arguments, facts)


async def _propose(services: Services, arguments: argparse.Namespace) -> Shown:
    """One fact, written as the columns of a CSV file."""
    if not arguments.what:
        raise Refused(
            "cli.no_fact",
            "No fact is named.",
            f"Write the kind and field=value: {', '.join(COLUMNS)}.",
        )
    cells = {"fact": arguments.what[0]}
    for pair in arguments.what[1:]:
        name, equals, value = pair.partition("=")
        if not equals:
            raise Refused("cli.bad_field", f"{pair[:40]!r} is no field=value.", "Write rail=ibps.")
        cells[name] = value
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(cells)
    writer.writerow(cells.values())
    return await _propose_facts(
        services, arguments, read_file("fact.csv", text.getvalue().encode())
    )


async def _holidays(services: Services, arguments: argparse.Namespace) -> Shown:
    """Show the days of a year, or import a notice."""
    catalog = services.catalogs.current(services.settings.tenant)
    if not arguments.what or arguments.what[0].isdigit():
        default = china_date(services.clock.now()).year
        return _year(catalog, int(arguments.what[0]) if arguments.what else default)
    path = _file(arguments)
    text = _text(_bytes(path))
    now = services.clock.now()
    if path.suffix.lower() == ".csv":
        notice = read_csv(text, arguments.reason or path.name, now)
    else:
        notice = read_notice(text, catalog.calendar, now)
    return await _propose_facts(services, arguments, [notice])


def _year(catalog: Catalog, year: int) -> Shown:
    calendar = catalog.calendar
    known = year in calendar.years
    free = {str(day): name for day, name in calendar.holidays.items() if day.year == year}
    worked = sorted(str(day) for day in calendar.worked if day.year == year)
    data = {"year": year, "known": known, "calendar": calendar.version,
            "free": dict(sorted(free.items())), "worked": worked}  # fmt: skip
    if not known:
        return Shown(data, f"{year}: YEAR UNKNOWN. Provisional: weekdays only, until the State "
                     "Council's notice is imported.")  # fmt: skip
    lines = [f"{day}  off     {name}" for day, name in sorted(free.items())]
    lines += [f"{day}  worked  调休" for day in worked]
    return Shown(data, "\n".join(sorted(lines)))


async def _propose_facts(
    services: Services, arguments: argparse.Namespace, facts: Sequence[Fact]
) -> Shown:
    maker, actor = OPERATOR, ACTOR
    if arguments.signer:
        person = find_person(load_people(services.settings.data_dir), arguments.signer)
        maker, actor = person.person_id, f"person:{person.person_id}"
    change = await services.catalogs.propose(
        services.settings.tenant, facts, reason=arguments.reason, maker=maker, actor=actor,
        dry_run=arguments.dry_run,
    )  # fmt: skip
    return Shown(_data(change), _told(change, dry_run=arguments.dry_run))


def _told(change: Change, *, dry_run: bool = False) -> str:
    would = "would be " if dry_run else ""
    lines = [f"{change.change_id}  {would}{change.state}: {change.reason}"]
    if change.state is ChangeState.WAITING:
        lines += [f"  needs another person's signature: {why}" for why in change.because]
    return "\n".join(lines + [f"  {_fact(fact)}" for fact in change.facts])


def _data(change: Change) -> dict[str, object]:
    return {
        "change_id": str(change.change_id), "state": change.state, "needed": change.needed,
        "because": change.because, "reason": change.reason, "actor": change.actor,
        "digest": change.digest.hex(), "proposed_at": change.proposed_at, "facts": change.facts,
    }  # fmt: skip


async def _changes(services: Services, arguments: argparse.Namespace) -> Shown:
    async with services.database.transaction() as tx:
        found = await services.catalogs.changes(tx, services.settings.tenant)
    return Shown([_data(c) for c in found], "\n".join(map(_told, found)) or "no changes yet")


async def _confirm(services: Services, arguments: argparse.Namespace) -> Shown:
    """Sign a change in a demo person's place, as their device would."""
    person = find_person(load_people(services.settings.data_dir), arguments.signer)
    tenant, change_id = services.settings.tenant, _id(arguments)
    async with services.database.transaction() as tx:
        change = await services.catalogs.change(tx, tenant, change_id)
        await sign_as(tx, services, Subject(SUBJECT, change_id, change.digest), person)
        change = await services.catalogs.change(tx, tenant, change_id)
    return Shown(_data(change), f"signed by {person.name}: {_told(change)}")


async def _withdraw(services: Services, arguments: argparse.Namespace) -> Shown:
    async with services.database.transaction() as tx:
        change = await services.catalogs.withdraw(
            tx, services.settings.tenant, _id(arguments), ACTOR
        )
    return Shown(_data(change), _told(change))


def _id(arguments: argparse.Namespace) -> UUID:
    text = arguments.what[0] if arguments.what else ""
    try:
        return UUID(text)
    except ValueError as error:
        raise Refused(
            "cli.bad_change", f"{text[:40]!r} is no change id.", "List them: catalog changes."
        ) from error


def _file(arguments: argparse.Namespace) -> Path:
    if not arguments.what:
        raise Refused("cli.no_file", "No file is named.", "Name the file to import.")
    return Path(arguments.what[0])


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Refused(
            "cli.unreadable_file", f"{path.name} cannot be read.", "Name a file that is there."
        ) from error


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("gb18030", "replace")


_ACTS: dict[str, Callable[[Services, argparse.Namespace], Awaitable[Shown]]] = {
    "show": _show,
    "facts": _facts,
    "import": _import,
    "propose": _propose,
    "holidays": _holidays,
    "changes": _changes,
    "confirm": _confirm,
    "withdraw": _withdraw,
}
