"""The end of a run: everything is healed and time has passed. Now both sides' books must agree."""

from __future__ import annotations

import tempfile
from pathlib import Path
from uuid import UUID

import msgspec

from caiwutong.approvals.model import Subject
from caiwutong.approvals.rules import signed_bytes
from caiwutong.audit.verify import verify
from caiwutong.db.memory import MemoryDatabase, MemoryTx
from caiwutong.identity.model import KeyAlgorithm
from caiwutong.identity.signatures import verify as signature_fits
from caiwutong.ledger.model import HoldState
from caiwutong.payments.states import TERMINAL, State
from caiwutong.rails.contract import ReportKind
from caiwutong.simulation.bank import Order
from caiwutong.simulation.setting import Setting
from caiwutong.simulation.stores import TENANT
from caiwutong.simulation.world import World

_EXECUTED = (ReportKind.NETTED, ReportKind.SETTLED, ReportKind.RETURNED)


async def judge(world: World, setting: Setting) -> None:
    """Compare payments, ledger, log and signatures with the bank's books and with each other."""
    _payments(world)
    _bank(world)
    _balances(world, setting)
    _statements(world)
    _holds(world)
    _signatures(world)
    await _ledger(world)
    await _log(world)


def _payments(world: World) -> None:
    watch, store = world.watch, world.stores.payments
    for row in store.rows().values():
        subjects = row.payment_id, row.key, row.reference
        wish = watch.wishes[row.remark]
        if row.state not in TERMINAL:
            watch.violated("every_payment_ends", f"It is still {row.state.value}.", *subjects)
            continue
        executions = world.bank.executions.get(row.remark, ())
        if (row.state is State.COMPLETED) != bool(wish.executed):
            words = f"{row.state.value}, and the bank executed it {wish.executed} times."
            watch.violated("the_end_is_the_banks", words, *subjects)
        twice = len(executions) > 1 and not any(o.kind is ReportKind.RETURNED for o in executions)
        if twice and not row.alarm:
            watch.violated("paid_twice_is_alarmed", "Nobody was told.", *subjects)
        returned = any(
            order.kind is ReportKind.RETURNED
            for order in executions
            if order.order.reference == row.reference
        )
        if returned != (row.returned_at is not None):
            words = f"The bank {'sent it back' if returned else 'kept it'}; our books differ."
            watch.violated("returns_are_booked", words, *subjects)
        if wish.payment_id is not None and wish.payment_id != row.payment_id:
            watch.violated("one_payment_a_key", "The caller was told another.", *subjects)
        _attempts(world, row.payment_id, row.remark)


def _attempts(world: World, payment_id: UUID, mark: str) -> None:
    """Every message of ours that the bank knows was written down first."""
    written = {a.reference for a in world.stores.payments.attempts(payment_id)}
    for order in world.bank.orders.values():
        if order.order.mark == mark and order.order.reference not in written:
            world.watch.violated(
                "written_before_sent", f"{order.order.reference} was never kept.", payment_id, mark
            )


def _bank(world: World) -> None:
    """What the bank executed, we asked for; and its own books are in order."""
    for mark, orders in world.bank.executions.items():
        row = next(r for r in world.stores.payments.rows().values() if r.remark == mark)
        if len(orders) > 1 + len(world.watch.left(row.payment_id)):
            world.watch.violated("paid_once", f"{len(orders)} executions.", mark)
    for order in world.bank.orders.values():
        if order.executed != (order.kind in _EXECUTED):
            raise AssertionError(f"the simulated bank's books are wrong about {order.order}")


def _balances(world: World, setting: Setting) -> None:
    for account in setting.accounts:
        ours = world.stores.ledger.state_of(account.ledger_account_id)
        theirs = world.bank.accounts[account.number].balance_fen + _risked(world, account.number)
        if (ours.posted, ours.held) != (theirs, 0):
            world.watch.violated(
                "our_book_is_the_banks",
                f"{ours.code}: {ours.posted} and {ours.held} held; the bank has {theirs}.",
            )


def _beside(world: World) -> list[Order]:
    """What the bank executed for attempts that people left, beside the one that is the
    payment's: the risk they took. Our books have no entry for it, and an alarm."""
    rows = {row.remark: row for row in world.stores.payments.rows().values()}
    return [
        order
        for mark, orders in world.bank.executions.items()
        for order in orders
        if order.order.reference != rows[mark].reference
    ]


def _risked(world: World, number: str) -> int:
    """How much the bank holds less of an account than our books for that reason."""
    return sum(
        order.order.amount_fen
        for order in _beside(world)
        if order.order.payer == number and order.kind is not ReportKind.RETURNED
    )


def _statements(world: World) -> None:
    """Every line of the bank is read, and explained by what we know of our payments; but the debit
    of an attempt that people left stays open, in sight, until it comes back."""
    risked = {order.order.reference for order in _beside(world)}
    for account_id, number in world.our_accounts.items():
        lines = world.stores.statements.lines_of(account_id)
        theirs = world.bank.accounts[number].lines or []
        if len(lines) != len(theirs):
            words = f"{len(theirs) - len(lines)} lines of …{number[-4:]} were never read."
            world.watch.violated("every_line_is_explained", words)
        for line in lines:
            if line.reference in risked:
                continue
            if line.due_at is not None or line.explained_by in ("", "suspense"):
                words = f"{line.kind} of {line.amount_fen} is {line.explained_by or 'open'}."
                world.watch.violated("every_line_is_explained", words, line.reference)


def _holds(world: World) -> None:
    for hold in world.stores.ledger.all_holds():
        row = world.stores.payments.row(hold.hold_id)
        if row is None or (hold.state is HoldState.HELD) == (row.state in TERMINAL):
            world.watch.violated("held_while_alive", f"A hold is {hold.state.value}.", hold.hold_id)


def _signatures(world: World) -> None:
    """Every signature that counted is its person's, over the very order."""
    for row in world.stores.payments.rows().values():
        message = signed_bytes(TENANT, Subject("payment", row.payment_id, row.digest))
        for s in world.stores.approvals.signed("payment", row.payment_id):
            algorithm = KeyAlgorithm(s.algorithm)
            if s.digest != row.digest or not signature_fits(
                algorithm, s.public_key, message, s.signature
            ):
                world.watch.violated(
                    "nobody_alone", "A kept signature does not fit.", row.payment_id, row.key
                )


async def _ledger(world: World) -> None:
    sums = await world.stores.ledger.trial_balance(MemoryTx(), TENANT)
    for currency, balances, entries, off in sums:
        if balances or entries or off:
            world.watch.violated(
                "ledger_sums_to_zero", f"{currency}: {balances}, {entries}, {off} accounts off."
            )


async def _log(world: World) -> None:
    """The sealed log verifies as an auditor verifies it, from the exported heads."""
    with tempfile.TemporaryDirectory(prefix="caiwutong-sim-") as folder:
        heads = Path(folder) / "heads.jsonl"
        lines = [msgspec.json.encode(head) for head in world.stores.heads.lines]
        heads.write_bytes(b"".join(line + b"\n" for line in lines))
        report = await verify(
            MemoryDatabase(), heads, world.vault.head_public_key, world.stores.audit
        )
    for finding in report.findings:
        world.watch.violated("the_log_is_sealed", f"{finding.what}: {finding.detail}")
    if report.unsealed:
        world.watch.violated("the_log_is_sealed", f"{report.unsealed} events have no seal.")
