"""``caiwutong sandbox …``: one command each to look at the sandbox and to make it misbehave.

``add_commands`` hangs the commands under a parser; whoever calls it says where the sandbox's folder
is and how to get the hub's payments (``reconcile`` compares them with the banks' books). Each
command is a coroutine function under ``arguments.command`` and gives what it found (``Told``), for
people and as data; ``reconcile`` has status 1 when something differs.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from caiwutong.kernel.errors import Refused
from caiwutong.kernel.money import parse_fen, yuan
from caiwutong.sandbox.client import SandboxClient, WebFile
from caiwutong.sandbox.faults import FaultKind, Plan, Rule
from caiwutong.sandbox.judge import Judgement, PaymentFact

FolderOf = Callable[[argparse.Namespace], Path]
PaymentsOf = Callable[[argparse.Namespace], Awaitable[list[PaymentFact]]]


class Told(msgspec.Struct, frozen=True):
    """What a command found: ``data`` for ``--json``, ``words`` for people, and its exit status."""

    data: Any
    words: str
    status: int = 0


_Act = Callable[[SandboxClient, argparse.Namespace], Told]


class _Commands:
    """Makes the sub-commands of ``sandbox``, each with the options all commands share."""

    def __init__(
        self,
        subparsers: Any,
        folder_of: FolderOf,
        options: Callable[[argparse.ArgumentParser], None],
    ) -> None:
        text = "Look at the sandbox network, or disturb it."
        parser = subparsers.add_parser("sandbox", help=text, description=text)
        self._commands = parser.add_subparsers(required=True, metavar="WHAT")
        self._options = options
        self.folder_of = folder_of

    def bare(self, name: str, text: str) -> argparse.ArgumentParser:
        """A sub-command that does nothing yet."""
        parser: argparse.ArgumentParser = self._commands.add_parser(
            name, help=text, description=text, allow_abbrev=False
        )
        self._options(parser)
        return parser

    def add(self, name: str, act: _Act, text: str) -> argparse.ArgumentParser:
        """A sub-command that speaks to the sandbox."""
        parser = self.bare(name, text)

        async def command(arguments: argparse.Namespace) -> Told:
            client = SandboxClient.at(self.folder_of(arguments))
            return await asyncio.to_thread(act, client, arguments)

        parser.set_defaults(command=command)
        return parser


def json_option(parser: argparse.ArgumentParser) -> None:
    """The one option every command has."""
    parser.add_argument("--json", action="store_true", help="print one JSON value")


def add_commands(
    subparsers: Any,
    *,
    folder_of: FolderOf,
    payments_of: PaymentsOf | None = None,
    options: Callable[[argparse.ArgumentParser], None] = json_option,
) -> None:
    """Add ``sandbox`` with its sub-commands. Each sets ``arguments.command``, a coroutine function
    of the arguments that gives ``Told``; ``options`` adds what the caller's commands share."""
    commands = _Commands(subparsers, folder_of, options)
    commands.add("status", _status, "Business time, transfers by state, faults, pushes waiting.")
    commands.add("net", _net, "Close a netting round now (轧差).")
    beps = commands.add("beps", _beps, "BEPS: next round, quota, outages; or act on them.")
    beps.add_argument("--round", action="store_true", help="close a netting round now")
    beps.add_argument("--quota", help="netting quota in yuan; 0 is none")
    beps.add_argument("--outage-until", help="announce an outage from now (RFC 3339)")
    _hvps_command(commands)
    commands.add("clear", _clear, "Reach the clearing point now (清算).")
    commands.add("books", _books, "Balances in the banks' books, and the sums that must hold.")
    _fault_commands(commands)
    _money_commands(commands)
    _web_commands(commands)
    _direct_commands(commands)
    if payments_of is not None:
        _reconcile_command(commands, payments_of)


def _hvps_command(commands: _Commands) -> None:
    hvps = commands.add("hvps", _hvps, "HVPS: hours, queue, settlement accounts; or act on them.")
    hvps.add_argument("--usable", help="what may be used for settlement, in yuan; 'all' again")
    hvps.add_argument("--fund", help="another bank sends so much, in yuan (hvps.112)")
    hvps.add_argument("--from", dest="payer", default="", help="the bank that sends it")
    hvps.add_argument("--bank", default="", help="whose settlement account; the sponsor's")
    hvps.add_argument("--outside-hours", choices=["reject", "hold"])
    hvps.add_argument("--outage-until", help="announce an outage (RFC 3339)")
    hvps.add_argument("--outage-from", help="when it begins; now when left out")
    hvps.add_argument("--free-day", help="announce that it does not work on a day (YYYY-MM-DD)")
    hvps.add_argument("--working-day", help="announce that it works on a day")
    hvps.add_argument("--limit", nargs=2, metavar=("SYSTEM", "YUAN"), help="announce a limit (926)")


_MODES = ("reset", "503", "blackhole", "twice", "next_band")
"""The first three for an outage, the last two for a wrong fee."""


def _fault_commands(commands: _Commands) -> None:
    faults = commands.add("faults", _faults, "Show the faults in force, or choose others.")
    faults.add_argument("profile", nargs="?", help="none, mild, demo, rough, or a JSON file")
    faults.add_argument("--seed", type=int)
    rule = commands.add("fault", _fault, "Add one fault to those in force.")
    rule.add_argument("kind", choices=[kind.value for kind in FaultKind])
    rule.add_argument("--bank", default="", help="联行号; any bank when left out")
    rule.add_argument(
        "--channel", default="", choices=["", "ibps", "beps", "hvps", "bank_direct", "bank_file"]
    )
    rule.add_argument("--probability", type=float, default=1.0)
    rule.add_argument("--delay-s", type=float, default=0.0, help="business seconds")
    rule.add_argument("--code", default="RJ90", help="reject code")
    rule.add_argument("--mode", default="reset", choices=_MODES)
    heal = commands.add("heal", _heal, "End silence and outages and wake what waited.")
    heal.add_argument("--bank", default="")
    heal.add_argument("--all", action="store_true", help="drop every kind of fault")
    pause = commands.add("pause", _pause, "Refuse connections for some seconds.")
    pause.add_argument("seconds", type=float)


def _money_commands(commands: _Commands) -> None:
    incoming = commands.add("incoming", _incoming, "Let an outsider pay into our account.")
    incoming.add_argument("account")
    incoming.add_argument("amount", help="yuan, like 1234.56")
    incoming.add_argument("--from", dest="payer", default="", help="the outsider's account")
    incoming.add_argument("--words", default="货款")
    back = commands.add("return", _return, "Let the payee's bank return a netted payment (退汇).")
    back.add_argument("reference")
    back.add_argument("--reason", default="账户信息有误")
    account = commands.add("account", _account, "Freeze, close or reopen an account at its bank.")
    account.add_argument("account")
    account.add_argument("state", choices=["active", "frozen", "closed"])


def _web_commands(commands: _Commands) -> None:
    upload = commands.add("upload", _upload, "Upload a batch file to a bank's web page (网银).")
    upload.add_argument("file", type=Path)
    upload.add_argument("--bank", default="", help="联行号; the only web page when left out")
    commands.add("uploads", _uploads, "What was uploaded to the web pages.")
    result = commands.add("result", _web_result, "Download the result file of an upload.")
    result.add_argument("batch", type=int)
    result.add_argument("--bank", default="")
    result.add_argument("--out", type=Path, default=Path("."), help="folder or file to write")
    statement = commands.add("statement", _web_statement, "Download an account's statement file.")
    statement.add_argument("account")
    statement.add_argument("--first", default="", help="first day, 2026-07-03")
    statement.add_argument("--last", default="", help="last day")
    statement.add_argument("--out", type=Path, default=Path("."), help="folder or file to write")


def _direct_commands(commands: _Commands) -> None:
    clerk = commands.add(
        "clerk", _clerk, "Payments that banks handle by hand (落地), or decide one."
    )
    clerk.add_argument("decision", nargs="?", choices=["release", "refuse"])
    clerk.add_argument("reference", nargs="?", default="")
    clerk.add_argument("--reason", default="")
    ends = commands.add("end-sessions", _end_sessions, "Let our sessions at direct banks end now.")
    ends.add_argument("--bank", default="", help="联行号; every bank when left out")


def _reconcile_command(commands: _Commands, payments_of: PaymentsOf) -> None:
    parser = commands.bare("reconcile", "Compare every payment of the hub with the banks' books.")

    async def command(arguments: argparse.Namespace) -> Told:
        client = SandboxClient.at(commands.folder_of(arguments))
        payments = await payments_of(arguments)
        verdict = await asyncio.to_thread(client.reconcile, payments)
        words = "\n".join(verdict_lines(verdict))
        return Told(verdict_facts(verdict), words, 0 if verdict.clean else 1)

    parser.set_defaults(command=command)


def verdict_facts(verdict: Judgement) -> dict[str, Any]:
    """The verdict as JSON-able data, with the agreement as a ratio."""
    facts: dict[str, Any] = msgspec.to_builtins(verdict)
    return facts | {"agreement": verdict.agreement, "clean": verdict.clean}


def verdict_lines(verdict: Judgement, most: int = 20) -> list[str]:
    """The verdict for people: the numbers, then the gravest disagreements."""
    lines = [
        f"payments      {verdict.payments:>10,}",
        f"agreed        {verdict.agreed:>10,}  ({verdict.agreement:.4%})",
        f"paid twice    {verdict.double_paid:>10,}",
        f"in doubt      {verdict.in_doubt:>10,}",
        f"still open    {verdict.open:>10,}",
        f"unknown to us {len(verdict.unknown_to_hub):>10,}",
    ]
    for each in verdict.disagreements[:most]:
        lines.append(
            f"  {each.reason}: payment {each.payment_id} of {yuan(each.amount_fen)}:"
            f" the hub says {each.hub}; the books say {each.books}"
        )
    if len(verdict.disagreements) > most:
        lines.append(f"  … and {len(verdict.disagreements) - most} more")
    return lines


# -- the commands


def _status(client: SandboxClient, args: argparse.Namespace) -> Told:
    return _told(client.health())


def _net(client: SandboxClient, args: argparse.Namespace) -> Told:
    return _told({"netted": client.net()})


def _beps(client: SandboxClient, args: argparse.Namespace) -> Told:
    facts: dict[str, Any] = {}
    if args.quota is not None:
        client.beps_quota(parse_fen(args.quota))
    if args.outage_until is not None:
        client.beps_outage(until=args.outage_until)
    if args.round:
        facts["netted"] = client.beps_round()
    return _told(facts | client.beps())


def _hvps(client: SandboxClient, args: argparse.Namespace) -> Told:
    if args.outside_hours:
        client.hvps_outside_hours(args.outside_hours)
    if args.usable is not None:
        usable = None if args.usable == "all" else parse_fen(args.usable)
        client.hvps_funds(usable, args.bank)
    if args.fund is not None:
        client.hvps_fund(parse_fen(args.fund), args.payer, args.bank)
    if args.outage_until is not None or args.outage_from is not None:
        client.hvps_outage(until=args.outage_until, since=args.outage_from)
    for day, working in ((args.free_day, False), (args.working_day, True)):
        if day is not None:
            client.hvps_day(day, working=working)
    if args.limit is not None:
        client.announce_limit(args.limit[0], parse_fen(args.limit[1]))
    return _told(client.hvps())


def _clear(client: SandboxClient, args: argparse.Namespace) -> Told:
    return _told({"settled": client.clear()})


def _books(client: SandboxClient, args: argparse.Namespace) -> Told:
    balances, sums = client.balances(), client.sums()
    lines = [
        f"{each.bank}  {each.account:<20} {yuan(each.balance_fen):>20}  {each.state}"
        for each in balances
    ]
    lines.append(f"sum of every bank: {sum(sums['banks'].values())} fen")
    return Told({"balances": balances, "sums": sums}, "\n".join(lines))


def _faults(client: SandboxClient, args: argparse.Namespace) -> Told:
    if not args.profile:
        return _told(client.faults())
    if args.profile.endswith(".json"):
        plan = msgspec.json.decode(Path(args.profile).read_bytes(), type=Plan)
        return _told(client.put_plan(plan))
    return _told(client.misbehave(args.profile, args.seed))


def _fault(client: SandboxClient, args: argparse.Namespace) -> Told:
    rule = Rule(
        kind=FaultKind(args.kind),
        probability=args.probability,
        channel=args.channel,
        bank=args.bank,
        delay_s=args.delay_s,
        code=args.code,
        mode=args.mode,
    )
    return _told(client.add_rule(rule))


def _heal(client: SandboxClient, args: argparse.Namespace) -> Told:
    kinds = list(FaultKind) if args.all else None
    return _told(client.heal(args.bank, kinds))


def _pause(client: SandboxClient, args: argparse.Namespace) -> Told:
    return _told(client.pause(args.seconds))


def _incoming(client: SandboxClient, args: argparse.Namespace) -> Told:
    fen = parse_fen(args.amount)
    return _told(client.incoming(args.account, fen, args.payer, args.words))


def _return(client: SandboxClient, args: argparse.Namespace) -> Told:
    return _told(client.send_back(args.reference, args.reason))


def _account(client: SandboxClient, args: argparse.Namespace) -> Told:
    return _told(client.set_account(args.account, args.state))


def _upload(client: SandboxClient, args: argparse.Namespace) -> Told:
    try:
        content = args.file.read_bytes()
    except OSError as error:
        raise Refused(
            "sandbox.no_file", f"{args.file.name} cannot be read ({error.strerror})."
        ) from error
    return _told(client.web_upload(args.file.name, content, args.bank))


def _uploads(client: SandboxClient, args: argparse.Namespace) -> Told:
    batches = client.web_batches()
    lines = [
        f"{each['bank']}  {each['batch']:>6}  {each['rows']:>5} rows  {each['uploaded_at']}"
        f"  {each['file_name']}"
        for each in batches
    ]
    return Told({"batches": batches}, "\n".join(lines) or "nothing was uploaded yet")


def _web_result(client: SandboxClient, args: argparse.Namespace) -> Told:
    return _written(client.web_result(args.batch, args.bank), args.out)


def _web_statement(client: SandboxClient, args: argparse.Namespace) -> Told:
    return _written(client.web_statement(args.account, args.first, args.last), args.out)


def _written(file: WebFile, out: Path) -> Told:
    path = out / file.file_name if out.is_dir() else out
    path.write_bytes(file.content)
    return _told({"file": str(path), "bytes": len(file.content)})


def _clerk(client: SandboxClient, args: argparse.Namespace) -> Told:
    if args.decision:
        return _told(client.clerk_decides(args.reference, args.decision, args.reason))
    kept = client.with_clerks()
    lines = [
        f"{each['bank']}  {each['reference']:<20} {yuan(each['amount_fen']):>20}"
        f"  {each['payee_name']}  goes on at {each['released_at']}"
        for each in kept
    ]
    return Told({"payments": kept}, "\n".join(lines) or "no payment is with a clerk")


def _end_sessions(client: SandboxClient, args: argparse.Namespace) -> Told:
    return _told({"ended": client.end_sessions(args.bank)})


def _told(facts: dict[str, Any]) -> Told:
    lines: list[str] = []
    for name, value in facts.items():
        plain = isinstance(value, str | int | float)
        told = str(value) if plain else msgspec.json.encode(value).decode()
        lines.append(f"{name:<18} {told}")
    return Told(facts, "\n".join(lines))
