"""``caiwutong sandbox …``: one command each to look at the sandbox and to make it misbehave.

``add_commands`` hangs the commands under a parser; whoever calls it says where the sandbox's folder
is and how to get the hub's payments (``reconcile`` compares them with the banks' books). Each
command prints for people, or JSON with ``--json``; ``reconcile`` exits 1 when something differs.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from caiwutong.kernel.money import parse_fen, yuan
from caiwutong.sandbox.client import SandboxClient
from caiwutong.sandbox.faults import FaultKind, Plan, Rule
from caiwutong.sandbox.judge import Judgement, PaymentFact

FolderOf = Callable[[argparse.Namespace], Path]
PaymentsOf = Callable[[argparse.Namespace], Iterable[PaymentFact]]


def add_commands(
    subparsers: Any, *, folder_of: FolderOf, payments_of: PaymentsOf | None = None
) -> None:
    """Add ``sandbox`` with its own commands. Each sets ``args.run``: ``run(args) -> exit code``."""
    sandbox = subparsers.add_parser("sandbox", help="look at the sandbox network, or disturb it")
    commands = sandbox.add_subparsers(dest="sandbox_command", required=True)

    def command(name: str, run: Callable[[SandboxClient, argparse.Namespace], int], text: str):
        parser = commands.add_parser(name, help=text, description=text)
        parser.add_argument("--json", action="store_true", help="print JSON")

        def run_at(args: argparse.Namespace) -> int:
            return run(SandboxClient.at(folder_of(args)), args)

        parser.set_defaults(run=run_at)
        return parser

    command("status", _status, "business time, transfers by state, faults, pushes waiting")
    command("net", _net, "close a netting round now (轧差)")
    command("clear", _clear, "reach the clearing point now (清算)")
    command("books", _books, "balances in the banks' books, and the sums that must hold")
    _fault_commands(command)
    _money_commands(command)
    if payments_of is not None:
        _reconcile_command(command, payments_of)


def _fault_commands(command: Any) -> None:
    faults = command("faults", _faults, "show the faults in force, or choose others")
    faults.add_argument("profile", nargs="?", help="none, mild, demo, rough, or a JSON file")
    faults.add_argument("--seed", type=int)
    rule = command("fault", _fault, "add one fault to those in force")
    rule.add_argument("kind", choices=[kind.value for kind in FaultKind])
    rule.add_argument("--bank", default="", help="联行号; any bank when left out")
    rule.add_argument("--channel", default="", choices=["", "ibps", "bank_direct"])
    rule.add_argument("--probability", type=float, default=1.0)
    rule.add_argument("--delay-s", type=float, default=0.0, help="business seconds")
    rule.add_argument("--code", default="RJ90", help="reject code")
    rule.add_argument("--mode", default="reset", choices=["reset", "503", "blackhole"])
    heal = command("heal", _heal, "end silence and outages and wake what waited")
    heal.add_argument("--bank", default="")
    heal.add_argument("--all", action="store_true", help="drop every kind of fault")
    pause = command("pause", _pause, "refuse connections for some seconds")
    pause.add_argument("seconds", type=float)


def _money_commands(command: Any) -> None:
    incoming = command("incoming", _incoming, "let an outsider pay into an account of the group")
    incoming.add_argument("account")
    incoming.add_argument("amount", help="yuan, like 1234.56")
    incoming.add_argument("--from", dest="payer", default="", help="the outsider's account")
    incoming.add_argument("--words", default="货款")
    back = command("return", _return, "let the payee's bank return a netted payment (退汇)")
    back.add_argument("reference")
    back.add_argument("--reason", default="账户信息有误")
    account = command("account", _account, "freeze, close or reopen an account at its bank")
    account.add_argument("account")
    account.add_argument("state", choices=["active", "frozen", "closed"])


def _reconcile_command(command: Any, payments_of: PaymentsOf) -> None:
    def run(client: SandboxClient, args: argparse.Namespace) -> int:
        verdict = client.reconcile(payments_of(args))
        if args.json:
            _json(verdict_facts(verdict))
        else:
            print("\n".join(verdict_lines(verdict)))
        return 0 if verdict.clean else 1

    command("reconcile", run, "compare every payment of the hub with the banks' books")


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


def _status(client: SandboxClient, args: argparse.Namespace) -> int:
    return _show(args, client.health())


def _net(client: SandboxClient, args: argparse.Namespace) -> int:
    return _show(args, {"netted": client.net()})


def _clear(client: SandboxClient, args: argparse.Namespace) -> int:
    return _show(args, {"settled": client.clear()})


def _books(client: SandboxClient, args: argparse.Namespace) -> int:
    balances, sums = client.balances(), client.sums()
    if args.json:
        _json({"balances": balances, "sums": sums})
        return 0
    for each in balances:
        print(f"{each.bank}  {each.account:<20} {yuan(each.balance_fen):>20}  {each.state}")
    print(f"sum of every bank: {sum(sums['banks'].values())} fen")
    return 0


def _faults(client: SandboxClient, args: argparse.Namespace) -> int:
    if not args.profile:
        return _show(args, client.faults())
    if args.profile.endswith(".json"):
        plan = msgspec.json.decode(Path(args.profile).read_bytes(), type=Plan)
        return _show(args, client.put_plan(plan))
    return _show(args, client.misbehave(args.profile, args.seed))


def _fault(client: SandboxClient, args: argparse.Namespace) -> int:
    rule = Rule(
        kind=FaultKind(args.kind),
        probability=args.probability,
        channel=args.channel,
        bank=args.bank,
        delay_s=args.delay_s,
        code=args.code,
        mode=args.mode,
    )
    return _show(args, client.add_rule(rule))


def _heal(client: SandboxClient, args: argparse.Namespace) -> int:
    kinds = list(FaultKind) if args.all else None
    return _show(args, client.heal(args.bank, kinds))


def _pause(client: SandboxClient, args: argparse.Namespace) -> int:
    return _show(args, client.pause(args.seconds))


def _incoming(client: SandboxClient, args: argparse.Namespace) -> int:
    fen = parse_fen(args.amount)
    return _show(args, client.incoming(args.account, fen, args.payer, args.words))


def _return(client: SandboxClient, args: argparse.Namespace) -> int:
    return _show(args, client.send_back(args.reference, args.reason))


def _account(client: SandboxClient, args: argparse.Namespace) -> int:
    return _show(args, client.set_account(args.account, args.state))


def _show(args: argparse.Namespace, facts: dict[str, Any]) -> int:
    if args.json:
        _json(facts)
    else:
        for name, value in facts.items():
            told = value if isinstance(value, str | int | float) else msgspec.json.encode(value)
            print(f"{name:<18} {told.decode() if isinstance(told, bytes) else told}")
    return 0


def _json(value: Any) -> None:
    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
