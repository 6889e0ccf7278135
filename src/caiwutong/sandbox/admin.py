"""The person's hand on the sandbox: look into the books, make it misbehave, heal it.

JSON over HTTP under ``/admin``, guarded by the token in ``admin.token`` (health is open). The
facts it gives (``/admin/books/executions``) are what ``judge`` compares with the hub.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from caiwutong.kernel.errors import NotFound, Refused, Unauthorised
from caiwutong.rails.catalog import limit_on, within
from caiwutong.sandbox.centre import IBPS, Transfer
from caiwutong.sandbox.direct import DirectBank
from caiwutong.sandbox.entries import (
    CLEARING,
    RESERVE,
    Execution,
)
from caiwutong.sandbox.faults import FaultKind, Plan, Rule, plan_named
from caiwutong.sandbox.hvps_queue import SYSTEM as HVPS
from caiwutong.sandbox.judge import ExecutionFact
from caiwutong.sandbox.network import COUNTER, Network
from caiwutong.sandbox.pushes import Pushes
from caiwutong.sandbox.sponsored import Sponsored

PAGE = 2_000
MAX_PAUSE_S = 60


class _Profile(msgspec.Struct, forbid_unknown_fields=True):
    profile: str
    seed: int | None = None


class _Heal(msgspec.Struct, forbid_unknown_fields=True):
    bank: str = ""
    kinds: tuple[FaultKind, ...] = (FaultKind.SILENT, FaultKind.OUTAGE)


class _Return(msgspec.Struct, forbid_unknown_fields=True):
    reference: str
    originator: str = ""
    reason: str = "账户信息有误"


class _Incoming(msgspec.Struct, forbid_unknown_fields=True):
    payee_account: str
    amount_fen: int
    payer_account: str = ""
    words: str = "货款"
    system: str = ""
    """``ibps`` or ``hvps``; empty: by the amount."""


class _State(msgspec.Struct, forbid_unknown_fields=True):
    account: str
    state: str


class _Policy(msgspec.Struct, forbid_unknown_fields=True):
    returns: str


class _Clerk(msgspec.Struct, forbid_unknown_fields=True):
    reference: str
    decision: Literal["release", "refuse"]
    reason: str = "人工审核未通过"


class _Sessions(msgspec.Struct, forbid_unknown_fields=True):
    bank: str = ""


class _Pause(msgspec.Struct, forbid_unknown_fields=True):
    seconds: float


class _Hub(msgspec.Struct, forbid_unknown_fields=True):
    url: str


class Admin:
    """Answers admin requests. Writes are committed by the caller before the answer leaves."""

    def __init__(
        self,
        network: Network,
        sponsored: Sponsored,
        direct: Mapping[str, DirectBank],
        pushes: Pushes,
        token: str,
        pause: Callable[[float], None],
        more: Mapping[tuple[str, str], Callable[[Mapping[str, str], bytes], Any]],
    ) -> None:
        """``more``: routes of single channels, beside those of all."""
        self._network = network
        self._sponsored = sponsored
        self._direct = direct
        self._pushes = pushes
        self._token = token
        self._close_for = pause
        self._routes: dict[tuple[str, str], Callable[[Mapping[str, str], bytes], Any]] = {
            ("GET", "/admin/health"): self._health,
            ("GET", "/admin/faults"): self._faults,
            ("PUT", "/admin/faults"): self._put_faults,
            ("POST", "/admin/faults/rules"): self._add_rule,
            ("POST", "/admin/heal"): self._heal,
            ("POST", "/admin/net"): lambda query, body: {"netted": self._network.net_all()},
            ("POST", "/admin/clear"): lambda query, body: {"settled": self._network.clear()},
            ("POST", "/admin/returns"): self._return,
            ("POST", "/admin/incoming"): self._incoming,
            ("POST", "/admin/accounts"): self._set_state,
            ("GET", "/admin/clerk"): self._with_clerks,
            ("POST", "/admin/clerk"): self._decide,
            ("POST", "/admin/sessions"): self._end_sessions,
            ("PUT", "/admin/policy"): self._policy,
            ("PUT", "/admin/hub"): self._hub,
            ("POST", "/admin/pause"): self._pause,
            ("GET", "/admin/books/executions"): self._executions,
            ("GET", "/admin/books/balances"): self._balances,
            ("GET", "/admin/books/sums"): self._sums,
            ("GET", "/admin/rounds"): self._rounds,
            **more,
        }

    def handle(
        self, method: str, path: str, query: Mapping[str, str], token: str, body: bytes
    ) -> Any:
        """The answer as JSON-able data. Raises a house error: 401, 404, 422."""
        route = self._routes.get((method, path))
        if route is None:
            raise NotFound("sandbox.no_such_path", f"There is no {method} {path[:80]}.")
        if path != "/admin/health" and not hmac.compare_digest(token, self._token):
            raise Unauthorised(
                "sandbox.token",
                "The admin token is missing or wrong.",
                "Send 'Authorization: Bearer …' with the content of admin.token.",
            )
        try:
            return route(query, body)
        except msgspec.DecodeError as error:
            raise Refused("sandbox.bad_request", f"The body does not fit: {error}.") from None

    # -- looking

    def _health(self, query: Mapping[str, str], body: bytes) -> Any:
        network = self._network
        return {
            "ok": True,
            "business_time": network.clock.now(),
            "faults": network.faults.plan.name,
            "struck": network.faults.struck,
            "transfers": network.centre.counts(),
            "stalled": network.stalled(),
            "timers": network.timers.waiting(),
            "pushes_waiting": self._pushes.waiting(),
            "pushes_delivered": self._pushes.delivered,
            "pushes_given_up": self._pushes.given_up(),
            "hub": self._pushes.hub_url,
        }

    def _executions(self, query: Mapping[str, str], body: bytes) -> Any:
        """``after`` is the cursor of the page before (``bank:seq``), empty at first."""
        bank, _, number = query.get("after", "").partition(":")
        limit = max(1, min(_whole(query.get("limit", str(PAGE))), PAGE))
        codes = [code for code in self._network.books if code >= bank]
        facts: list[ExecutionFact] = []
        for code in sorted(codes):
            after = _whole(number or "0") if code == bank else 0
            while True:
                # Not every row is a fact, so a page of rows may give fewer facts than rows: only
                # an empty page ends a bank.
                rows = list(self._network.books[code].facts(after, limit - len(facts)))
                if not rows:
                    break
                after = rows[-1][0].seq
                facts += [
                    _fact(execution, debits, code)
                    for execution, debits in rows
                    if not execution.originator.endswith(COUNTER)
                ]
                if len(facts) >= limit:
                    return {"executions": facts, "next": f"{code}:{after}", "more": True}
        return {"executions": facts, "next": "", "more": False}

    def _balances(self, query: Mapping[str, str], body: bytes) -> Any:
        return {
            "balances": [
                {
                    "account": account.account,
                    "bank": code,
                    "balance_fen": account.balance_fen,
                    "available_fen": account.available_fen,
                    "state": account.state,
                    "lines": account.lines,
                }
                for code, book in self._network.books.items()
                for account in book.accounts("group")
            ]
        }

    def _sums(self, query: Mapping[str, str], body: bytes) -> Any:
        """What must hold: each bank sums to zero, the reserves never change in total, and what the
        banks owe through clearing is the centre's net plus what is under way."""
        books = self._network.books
        return {
            "banks": {code: book.sum_fen() for code, book in books.items()},
            "reserves_fen": sum(book.internal_fen(RESERVE) for book in books.values()),
            "clearing_fen": {code: book.internal_fen(CLEARING) for code, book in books.items()},
            "positions_fen": self._network.centre.positions(),
        }

    def _rounds(self, query: Mapping[str, str], body: bytes) -> Any:
        return {"rounds": [each._asdict() for each in self._network.centre.rounds(50)]}

    # -- misbehaving

    def _faults(self, query: Mapping[str, str], body: bytes) -> Any:
        faults = self._network.faults
        return {"plan": faults.plan, "struck": faults.struck}

    def _put_faults(self, query: Mapping[str, str], body: bytes) -> Any:
        """``{"profile": "demo", "seed": 7}`` or a whole plan with its rules."""
        chosen = _plan(body)
        if isinstance(chosen, _Profile):
            seed = self._network.faults.plan.seed if chosen.seed is None else chosen.seed
            chosen = plan_named(chosen.profile, seed)
        self._network.faults.put(chosen)
        return self._faults(query, body)

    def _add_rule(self, query: Mapping[str, str], body: bytes) -> Any:
        rule = msgspec.json.decode(body, type=Rule)
        plan = self._network.faults.plan
        self._network.faults.put(Plan(plan.seed, "custom", (*plan.rules, rule)))
        return self._faults(query, body)

    def _heal(self, query: Mapping[str, str], body: bytes) -> Any:
        wish = msgspec.json.decode(body or b"{}", type=_Heal)
        dropped = self._network.faults.heal(wish.kinds, wish.bank)
        woken = self._network.heal(wish.bank)
        woken += sum(bank.heal() for code, bank in self._direct.items() if wish.bank in ("", code))
        return {"rules_dropped": dropped, "transfers_woken": woken}

    def _return(self, query: Mapping[str, str], body: bytes) -> Any:
        wish = msgspec.json.decode(body, type=_Return)
        transfer = self._transfer(wish.originator, wish.reference)
        why = self._network.send_back(transfer, wish.reason)
        if why:
            raise Refused("sandbox.not_returned", f"{wish.reference[:30]} is not returned: {why}.")
        return {"returned": wish.reference}

    def _transfer(self, originator: str, reference: str) -> Transfer:
        for code in (originator,) if originator else self._network.books:
            transfer = self._network.centre.transfer(code, reference)
            if transfer is not None:
                return transfer
        raise NotFound("sandbox.no_transfer", f"The centre has no transfer {reference[:30]!r}.")

    def _incoming(self, query: Mapping[str, str], body: bytes) -> Any:
        wish = msgspec.json.decode(body, type=_Incoming)
        if wish.amount_fen <= 0:
            raise Refused("sandbox.amount", "The amount is not above zero.", "Send fen.")
        payer = wish.payer_account or next(
            each.account for each in self._network.world.payees if each.condition == "ok"
        )
        try:
            paid = self._network.incoming(
                payer, wish.payee_account, wish.amount_fen, wish.words, self._system_for(wish)
            )
        except KeyError:
            raise NotFound("sandbox.no_account", "There is no such account.") from None
        execution = paid.execution
        return {
            "reference": execution.reference,
            "status": execution.status,
            "code": execution.code,
        }

    def _system_for(self, wish: _Incoming) -> str:
        """What the outsider's bank chooses: HVPS above the limit of IBPS, unless a person says."""
        limit = limit_on(IBPS, self._network.clock.now())
        small = limit is None or within(limit, wish.amount_fen)
        system = wish.system or (IBPS if small else HVPS)
        if system not in (IBPS, HVPS):
            raise Refused("sandbox.system", "Money comes in over ibps or hvps.")
        return system

    def _set_state(self, query: Mapping[str, str], body: bytes) -> Any:
        wish = msgspec.json.decode(body, type=_State)
        if wish.state not in ("active", "frozen", "closed"):
            raise Refused("sandbox.state", f"{wish.state[:20]!r} is not a state of an account.")
        for book in self._network.books.values():
            if book.account(wish.account) is not None and not wish.account.startswith("@"):
                book.set_state(wish.account, wish.state)
                return {"account": wish.account, "state": wish.state, "bank": book.code}
        raise NotFound("sandbox.no_account", "There is no such account.")

    def _with_clerks(self, query: Mapping[str, str], body: bytes) -> Any:
        """Payments that clerks of direct banks keep now (落地), oldest first at each bank."""
        return {
            "payments": [
                {
                    "bank": code,
                    "reference": request.reference,
                    "payer_account": request.order.payer_account,
                    "payee_account": request.order.payee_account,
                    "payee_name": request.order.payee_name,
                    "amount_fen": request.order.amount_fen,
                    "released_at": datetime.fromtimestamp(request.due_at or 0, UTC),
                }
                for code, bank in self._direct.items()
                for request in bank.with_the_clerk()
            ]
        }

    def _decide(self, query: Mapping[str, str], body: bytes) -> Any:
        wish = msgspec.json.decode(body, type=_Clerk)
        for code, bank in self._direct.items():
            done = (
                bank.release(wish.reference)
                if wish.decision == "release"
                else bank.refuse(wish.reference, wish.reason)
            )
            if done:
                return {"reference": wish.reference, "bank": code, "decision": wish.decision}
        raise NotFound(
            "sandbox.not_with_a_clerk",
            f"No clerk keeps a payment {wish.reference[:30]!r}.",
            "List the payments clerks keep: caiwutong sandbox clerk.",
        )

    def _end_sessions(self, query: Mapping[str, str], body: bytes) -> Any:
        wish = msgspec.json.decode(body or b"{}", type=_Sessions)
        ended = {
            code: bank.end_sessions()
            for code, bank in self._direct.items()
            if wish.bank in ("", code)
        }
        return {"ended": sum(ended.values())}

    def _policy(self, query: Mapping[str, str], body: bytes) -> Any:
        wish = msgspec.json.decode(body, type=_Policy)
        if wish.returns not in ("agree", "refuse"):
            raise Refused("sandbox.policy", "returns is 'agree' or 'refuse'.")
        self._sponsored.returns = wish.returns
        return {"returns": wish.returns}

    def _hub(self, query: Mapping[str, str], body: bytes) -> Any:
        self._pushes.hub_url = msgspec.json.decode(body, type=_Hub).url.rstrip("/")
        return {"hub": self._pushes.hub_url}

    def _pause(self, query: Mapping[str, str], body: bytes) -> Any:
        seconds = msgspec.json.decode(body, type=_Pause).seconds
        if not 0 < seconds <= MAX_PAUSE_S:
            raise Refused("sandbox.pause", f"A pause is above 0 and at most {MAX_PAUSE_S} s.")
        self._close_for(seconds)
        return {"paused_s": seconds}


def _plan(body: bytes) -> _Profile | Plan:
    fields = msgspec.json.decode(body)
    if isinstance(fields, dict) and "profile" in fields:
        return msgspec.json.decode(body, type=_Profile)
    return msgspec.json.decode(body, type=Plan)


def _whole(text: str) -> int:
    if not text.isdigit():
        raise Refused("sandbox.cursor", f"{text[:20]!r} is not a whole number.")
    return int(text)


def _fact(execution: Execution, debits: int, bank: str) -> ExecutionFact:
    return ExecutionFact(
        reference=execution.reference,
        payer_account=execution.payer_account,
        payee_account=execution.payee_account,
        amount_fen=execution.amount_fen,
        debits=debits,
        status=execution.status,
        bank=bank,
        code=execution.code,
    )
