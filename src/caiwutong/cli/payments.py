"""``caiwutong pay`` and ``caiwutong payments``: make a payment, watch it, ask about it, sign it.

These commands act on the running instance's database directly, as its operator; what they do goes
through the same services, mandates and log as the API.
"""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from caiwutong.approvals.model import Decided, Subject
from caiwutong.cli.common import Shown, Subparsers, add, house
from caiwutong.cli.seed import DemoPerson, load_credentials, load_people, sign_as
from caiwutong.kernel.clock import CHINA
from caiwutong.kernel.errors import Refusal, Refused
from caiwutong.kernel.money import parse_fen, yuan
from caiwutong.kernel.order import Party, PaymentOrder
from caiwutong.payments.intake import SUBJECT
from caiwutong.payments.model import Submission
from caiwutong.payments.states import State
from caiwutong.payments.store import Filter
from caiwutong.payments.views import PaymentView
from caiwutong.wiring import Services

ACTS = (
    "list",
    "show",
    "timeline",
    "enquire",
    "revoke",
    "return",
    "cancel",
    "sign",
    "correct",
    "switch",
)


def add_commands(subparsers: Subparsers) -> None:
    pay = add(subparsers, "pay", _pay, "Make one payment.")
    pay.add_argument("--from", dest="source", required=True, help="own account number")
    pay.add_argument("--to", required=True, help="payee's account number")
    pay.add_argument("--name", required=True, help="payee's account name")
    pay.add_argument("--bank-code", default="", help="payee's 联行号")
    pay.add_argument("--amount", required=True, help="yuan, e.g. 1234.56")
    pay.add_argument("--purpose", default="")
    pay.add_argument("--key", required=True, help="your own number of the payment")
    pay.add_argument("--channel", default="", help="ask for one rail by name")
    pay.add_argument("--dry-run", action="store_true", help="say what would happen, keep nothing")
    listing = add(subparsers, "payments", _payments, "List payments, or act on one.")
    listing.add_argument("act", nargs="?", choices=ACTS, default="list")
    listing.add_argument("payment", nargs="?", default="", help="payment id")
    listing.add_argument("--state", action="append", choices=[s.value for s in State])
    listing.add_argument("--limit", type=int, default=20)
    listing.add_argument("--as", dest="signer", default="", help="sign as this demo person")
    listing.add_argument("--reason", default="", help="why (return, correct, switch)")


async def _pay(arguments: argparse.Namespace) -> Shown:
    async with house(arguments) as services:
        credentials = load_credentials(services.settings.data_dir)
        tenant = services.settings.tenant
        async with services.database.transaction() as tx:
            own = await services.bank_accounts.by_number(tx, tenant, arguments.source)
        if not own:
            raise Refused(
                "cli.not_our_account",
                f"…{arguments.source[-4:]} is no bank account of ours.",
                "List them with GET /v1/bank-accounts.",
            )
        order = PaymentOrder(
            bank_account_id=own[0].bank_account_id,
            payee=Party(arguments.name, arguments.to, arguments.bank_code),
            amount_fen=parse_fen(arguments.amount),
            purpose=arguments.purpose,
            channel=arguments.channel,
        )
        submission = Submission(arguments.key, order, credentials.api_key_id, "cli:pay")
        answers = await services.payments.intake.submit_many(
            tenant, [submission], dry_run=arguments.dry_run
        )
    answer = answers[0]
    if isinstance(answer, Refusal):
        answer.raise_()
        raise AssertionError
    again = " (known already: the first answer again)" if answer.replayed else ""
    return Shown(answer, f"{answer.payment_id} {answer.state.value}{again} {answer.needs}")


async def _payments(arguments: argparse.Namespace) -> Shown:
    async with house(arguments) as services:
        if arguments.act == "list":
            return await _list(services, arguments)
        try:
            payment_id = UUID(arguments.payment)
        except ValueError as error:
            raise Refused(
                "cli.bad_id", f"{arguments.payment[:40]!r} is no payment id.", "Copy it whole."
            ) from error
        act: Callable[..., Awaitable[Shown]] = _ACTS[arguments.act]
        return await act(services, payment_id, arguments)


async def _list(services: Services, arguments: argparse.Namespace) -> Shown:
    states = tuple(State(s) for s in arguments.state) if arguments.state else None
    views = await services.payments.views.page(
        services.settings.tenant, Filter(states=states), limit=arguments.limit
    )
    overview = await services.payments.views.overview(services.settings.tenant)
    counts = ", ".join(f"{n} {state}" for state, n in sorted(overview.states.items()))
    lines = [_line(view) for view in views] + [counts or "no payments yet"]
    return Shown({"payments": views, "overview": overview}, "\n".join(lines))


def _line(view: PaymentView) -> str:
    at = view.created_at.astimezone(CHINA)
    return (
        f"{view.id}  {at:%m-%d %H:%M:%S}  {yuan(view.amount_fen):>16} {view.currency}  "
        f"{view.state_zh} {view.state_en:<20} {view.payee_name} {view.payee_account} "
        f"{view.rail} {view.reason_code}"
    )


async def _show(services: Services, payment_id: UUID, _: argparse.Namespace) -> Shown:
    view = await services.payments.views.get(services.settings.tenant, payment_id)
    return Shown(view, _line(view))


async def _timeline(services: Services, payment_id: UUID, _: argparse.Namespace) -> Shown:
    timeline = await services.payments.views.timeline(services.settings.tenant, payment_id)
    lines = [
        f"{step.at.astimezone(CHINA):%Y-%m-%d %H:%M:%S.%f}  {step.kind:<28} {step.actor}  "
        f"{_facts(step.facts)}"
        for step in timeline.steps
    ]
    return Shown(timeline, "\n".join(lines))


def _facts(facts: dict[str, Any]) -> str:
    told = ("rail", "reference", "code", "words", "authorised_by", "needs", "reason")
    return " ".join(f"{name}={facts[name]}" for name in told if facts.get(name))


async def _enquire(services: Services, payment_id: UUID, _: argparse.Namespace) -> Shown:
    await services.payments.requests.enquire(services.settings.tenant, payment_id)
    return await _show(services, payment_id, _)


async def _revoke(services: Services, payment_id: UUID, _: argparse.Namespace) -> Shown:
    await services.payments.requests.revoke(services.settings.tenant, payment_id, "cli:revoke")
    return await _timeline(services, payment_id, _)


async def _return(services: Services, payment_id: UUID, arguments: argparse.Namespace) -> Shown:
    await services.payments.requests.request_return(
        services.settings.tenant, payment_id, arguments.reason, "cli:return"
    )
    return await _timeline(services, payment_id, arguments)


async def _cancel(services: Services, payment_id: UUID, _: argparse.Namespace) -> Shown:
    await services.payments.requests.cancel(services.settings.tenant, payment_id, "cli:cancel")
    return await _show(services, payment_id, _)


async def _correct(services: Services, payment_id: UUID, arguments: argparse.Namespace) -> Shown:
    if not arguments.reason:
        raise Refused("cli.no_reason", "A correction needs a reason.", "Add --reason '…'.")
    correction = await services.payments.requests.correct(
        services.settings.tenant, payment_id, arguments.reason, "cli:correct"
    )
    return Shown({"transfer_id": correction}, f"corrected by transfer {correction}")


async def _sign(services: Services, payment_id: UUID, arguments: argparse.Namespace) -> Shown:
    """Sign in a demo person's place: the demo tenant only (their keys lie in the data folder)."""
    person = find_person(load_people(services.settings.data_dir), arguments.signer)
    view = await services.payments.views.get(services.settings.tenant, payment_id)
    subject = Subject(SUBJECT, payment_id, bytes.fromhex(view.digest))
    async with services.database.transaction() as tx:
        outcome = await sign_as(tx, services, subject, person)
    done = isinstance(outcome, Decided)
    words = "released" if done else f"{outcome.missing} more signature(s) needed"
    return Shown({"decided": done}, f"signed by {person.name} ({person.role}): {words}")


async def _switch(services: Services, payment_id: UUID, arguments: argparse.Namespace) -> Shown:
    """Ask for leaving a channel that is in doubt (--reason), or sign for it (--as)."""
    tenant, switching = services.settings.tenant, services.payments.switching
    if not arguments.signer:
        if not arguments.reason:
            raise Refused(
                "cli.no_reason",
                "Leaving a channel needs a reason.",
                "Add --reason '…'; then two people sign with --as NAME.",
            )
        maker = load_credentials(services.settings.data_dir).api_key_id
        subject = await switching.ask(tenant, payment_id, arguments.reason, maker, "cli:switch")
        asked = {"attempt_id": subject.id, "digest": subject.digest.hex(), "needed": 2}
        return Shown(asked, "two people must sign: caiwutong payments switch ID --as NAME")
    person = find_person(load_people(services.settings.data_dir), arguments.signer)
    subject = await switching.subject(tenant, payment_id)
    async with services.database.transaction() as tx:
        outcome = await sign_as(tx, services, subject, person)
    done = isinstance(outcome, Decided)
    words = "the payment goes another way" if done else f"{outcome.missing} more needed"
    return Shown({"decided": done}, f"signed by {person.name} ({person.role}): {words}")


def find_person(people: list[DemoPerson], name: str) -> DemoPerson:
    """The demo person of this name. Raises Refused with the names there are."""
    for person in people:
        if person.name == name:
            return person
    names = "、".join(f"{p.name}({p.role})" for p in people)
    raise Refused("cli.no_such_person", f"There is no demo person {name!r}.", f"Use --as: {names}")


_ACTS: dict[str, Callable[..., Awaitable[Shown]]] = {
    "show": _show,
    "timeline": _timeline,
    "enquire": _enquire,
    "revoke": _revoke,
    "return": _return,
    "cancel": _cancel,
    "sign": _sign,
    "correct": _correct,
    "switch": _switch,
}
