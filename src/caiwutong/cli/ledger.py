"""``caiwutong ledger``: balances now or as of any moment, and the proof that all sums are zero."""

from __future__ import annotations

import argparse
from datetime import datetime

from caiwutong.cli.common import Shown, Subparsers, add, house
from caiwutong.kernel.clock import CHINA
from caiwutong.kernel.errors import Refused
from caiwutong.kernel.money import yuan


def add_commands(subparsers: Subparsers) -> None:
    parser = add(subparsers, "ledger", _ledger, "Balances, as of any moment; the trial balance.")
    parser.add_argument("account", nargs="?", default="", help="account code; none: the proof")
    parser.add_argument("--as-of", default="", help="RFC 3339 time, e.g. 2026-11-02T09:00+08:00")


def moment(text: str) -> datetime:
    """An instant from the command line; without an offset it is China's time."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise Refused(
            "cli.bad_time", f"{text[:40]!r} is not a time.", "Write 2026-11-02T09:00+08:00."
        ) from error
    return at if at.tzinfo else at.replace(tzinfo=CHINA)


async def _ledger(arguments: argparse.Namespace) -> Shown:
    async with house(arguments) as services, services.database.transaction() as tx:
        tenant, now = services.settings.tenant, services.clock.now()
        if not arguments.account:
            proofs = await services.ledger.trial_balance(tx, tenant)
            words = "\n".join(
                f"{p.currency}: balances {p.balances_fen} fen, entries {p.entries_fen} fen, "
                f"{p.accounts_off} accounts off: {'holds' if p.holds else 'DOES NOT HOLD'}"
                for p in proofs
            )
            return Shown(proofs, words, 0 if all(p.holds for p in proofs) else 1)
        account = await services.ledger.account(tx, tenant, code=arguments.account)
        as_of = moment(arguments.as_of) if arguments.as_of else None
        balance = await services.ledger.balance(
            tx, tenant, account.account_id, now=now, as_of=as_of
        )
    words = (
        f"{account.code} {account.name}: posted {yuan(balance.posted_fen)}, "
        f"held {yuan(balance.held_fen)}, available {yuan(balance.available_fen)} "
        f"{balance.currency} as of {balance.as_of.astimezone(CHINA):%Y-%m-%d %H:%M:%S}"
    )
    return Shown(balance, words)
