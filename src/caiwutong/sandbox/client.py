"""A small client of the sandbox's admin interface, for the command line, demos and tests.

Plain blocking HTTP on loopback; nothing but the standard library, and no proxy ever. Every method
raises ``Unavailable`` when the sandbox does not run and ``Refused`` when it says no.
"""

from __future__ import annotations

import base64
import http.client
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

import msgspec

from caiwutong.kernel.errors import Refused, Unavailable
from caiwutong.sandbox.faults import FaultKind, Plan, Rule
from caiwutong.sandbox.judge import ExecutionFact, Judgement, PaymentFact, judge

T = TypeVar("T")


class BookBalance(msgspec.Struct, frozen=True):
    """What a bank's books say of one account of the group."""

    account: str
    bank: str
    balance_fen: int
    available_fen: int
    state: str
    lines: int


class WebFile(msgspec.Struct, frozen=True):
    """A file that a bank's web page hands out."""

    file_name: str
    content: bytes


class _Page(msgspec.Struct):
    executions: list[ExecutionFact]
    next: str
    more: bool


class _Balances(msgspec.Struct):
    balances: list[BookBalance]


class SandboxClient:
    """Speaks to one running sandbox."""

    def __init__(self, url: str, token: str, *, timeout_s: float = 30.0) -> None:
        parts = urlsplit(url)
        self.url = url
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._token = token
        self._timeout_s = timeout_s

    @classmethod
    def at(cls, folder: Path) -> SandboxClient:
        """The sandbox that lives in this folder, by its ``connections.json`` and token."""
        try:
            connections = msgspec.json.decode((folder / "connections.json").read_bytes())
            token = (folder / "admin.token").read_text().strip()
        except FileNotFoundError:
            raise Unavailable(
                "sandbox.not_prepared",
                f"There is no sandbox in {folder}.",
                "Start the demo first; it makes one.",
            ) from None
        return cls(connections["ibps"]["url"], token)

    # -- looking

    def health(self) -> dict[str, Any]:
        """Business time, faults, transfers by state, pushes waiting."""
        return self._call("GET", "health")

    def faults(self) -> dict[str, Any]:
        """The plan in force and how often each kind has struck."""
        return self._call("GET", "faults")

    def executions(self) -> Iterator[ExecutionFact]:
        """Every instruction of the hub in the books of all banks."""
        after = ""
        while True:
            query = urlencode({"after": after})
            page = msgspec.convert(self._call("GET", f"books/executions?{query}"), _Page)
            yield from page.executions
            if not page.more:
                return
            after = page.next

    def balances(self) -> list[BookBalance]:
        """The group's accounts as the banks keep them."""
        return msgspec.convert(self._call("GET", "books/balances"), _Balances).balances

    def sums(self) -> dict[str, Any]:
        """Sums that must hold: each bank zero, reserves constant, clearing equal to the centre's
        net and what is under way."""
        return self._call("GET", "books/sums")

    def rounds(self) -> list[dict[str, Any]]:
        """The latest netting rounds of all systems, newest first."""
        return self._call("GET", "rounds")["rounds"]

    def reconcile(self, payments: Iterable[PaymentFact]) -> Judgement:
        """Compare the hub's payments with the books."""
        return judge(payments, self.executions())

    # -- acting

    def misbehave(self, profile: str, seed: int | None = None) -> dict[str, Any]:
        """Put a ready profile in force: none, mild, demo, rough."""
        return self._call("PUT", "faults", {"profile": profile, "seed": seed})

    def put_plan(self, plan: Plan) -> dict[str, Any]:
        """Put a whole plan in force."""
        return self._call("PUT", "faults", plan)

    def add_rule(self, rule: Rule) -> dict[str, Any]:
        """Add one rule to the plan in force."""
        return self._call("POST", "faults/rules", rule)

    def heal(self, bank: str = "", kinds: Iterable[FaultKind] | None = None) -> dict[str, Any]:
        """End silence and outages (or these kinds), at one bank or all, and wake what waited."""
        wish: dict[str, Any] = {"bank": bank}
        if kinds is not None:
            wish["kinds"] = list(kinds)
        return self._call("POST", "heal", wish)

    def net(self) -> int:
        """Close a netting round of every system now; how many transfers became final."""
        return int(self._call("POST", "net")["netted"])

    def clear(self) -> int:
        """Reach the clearing point now; how many transfers were settled."""
        return int(self._call("POST", "clear")["settled"])

    def beps(self) -> dict[str, Any]:
        """BEPS: next round, quota and what is owed, outages."""
        return self._call("GET", "beps")

    def beps_round(self) -> int:
        """Close a netting round of BEPS now; how many payments became final."""
        return int(self._call("POST", "beps/round")["netted"])

    def beps_quota(self, quota_fen: int) -> dict[str, Any]:
        """What the sponsor may owe on BEPS from now on; 0 is no quota."""
        return self._call("PUT", "beps/quota", {"quota_fen": quota_fen})

    def beps_outage(
        self, *, until: str | None = None, since: str | None = None, words: str = "系统临时停运"
    ) -> dict[str, Any]:
        """Announce an outage of BEPS (RFC 3339; from now on, without an end, when left out)."""
        return self._call("POST", "beps/outage", {"since": since, "until": until, "words": words})

    def hvps(self) -> dict[str, Any]:
        """HVPS: hours, business day, queue, settlement accounts."""
        return self._call("GET", "hvps")

    def hvps_funds(self, usable_fen: int | None, bank: str = "") -> dict[str, Any]:
        """Let a bank (the sponsor) use so much of its settlement account; None: all of it."""
        return self._call("PUT", "hvps/funds", {"usable_fen": usable_fen, "bank": bank})

    def hvps_fund(self, amount_fen: int, payer: str = "", bank: str = "") -> dict[str, Any]:
        """Have another institution send money to a settlement account (hvps.112)."""
        wish = {"amount_fen": amount_fen, "payer": payer, "bank": bank}
        return self._call("POST", "hvps/fund", wish)

    def hvps_outside_hours(self, policy: str) -> dict[str, Any]:
        """What becomes of payments that come while HVPS is closed: ``reject`` or ``hold``."""
        return self._call("PUT", "hvps/policy", {"outside_hours": policy})

    def hvps_outage(
        self, *, until: str | None = None, since: str | None = None, words: str = "系统临时停运"
    ) -> dict[str, Any]:
        """Announce an outage of HVPS (RFC 3339; from now on, without an end, when left out)."""
        return self._call("POST", "hvps/outage", {"since": since, "until": until, "words": words})

    def hvps_day(self, day: str, *, working: bool, words: str = "") -> dict[str, Any]:
        """Announce whether HVPS works on a day (YYYY-MM-DD)."""
        return self._call("POST", "hvps/day", {"day": day, "working": working, "words": words})

    def announce_limit(
        self, system: str, amount_fen: int, *, since: str | None = None, until: str | None = None
    ) -> dict[str, Any]:
        """Announce the most one payment of a system may carry (ccms.926)."""
        wish = {"system": system, "amount_fen": amount_fen, "since": since, "until": until}
        return self._call("POST", "hvps/limit", wish)

    def send_back(self, reference: str, reason: str = "账户信息有误") -> dict[str, Any]:
        """Have the payee's bank return a netted payment (退汇)."""
        return self._call("POST", "returns", {"reference": reference, "reason": reason})

    def incoming(
        self, payee_account: str, amount_fen: int, payer_account: str = "", words: str = "货款"
    ) -> dict[str, Any]:
        """An outsider pays into an account of the group."""
        wish = {
            "payee_account": payee_account,
            "amount_fen": amount_fen,
            "payer_account": payer_account,
            "words": words,
        }
        return self._call("POST", "incoming", wish)

    def set_account(self, account: str, state: str) -> dict[str, Any]:
        """Make an account ``active``, ``frozen`` or ``closed``."""
        return self._call("POST", "accounts", {"account": account, "state": state})

    def with_clerks(self) -> list[dict[str, Any]]:
        """The payments that clerks of direct banks keep now (落地)."""
        return self._call("GET", "clerk")["payments"]

    def clerk_decides(self, reference: str, decision: str, reason: str = "") -> dict[str, Any]:
        """Have the clerk ``release`` or ``refuse`` a payment he keeps."""
        wish = {"reference": reference, "decision": decision}
        return self._call("POST", "clerk", wish | ({"reason": reason} if reason else {}))

    def end_sessions(self, bank: str = "") -> int:
        """Let the sessions at direct banks end now, at one bank or all; how many ended."""
        return int(self._call("POST", "sessions", {"bank": bank})["ended"])

    def answer_return_requests(self, policy: str) -> dict[str, Any]:
        """What payee banks say to 申请退回 from now on: ``agree`` or ``refuse``."""
        return self._call("PUT", "policy", {"returns": policy})

    # -- a bank's web page, as a person uses it

    def web_upload(self, file_name: str, content: bytes, bank: str = "") -> dict[str, Any]:
        """Upload a batch file and authorise it; the number of the upload. ``bank``: the 联行号, or
        the only one with a web page."""
        query = urlencode({"file_name": file_name, "bank": bank})
        return self._call("POST", f"web/upload?{query}", raw=content)

    def web_batches(self) -> list[dict[str, Any]]:
        """Everything uploaded so far, oldest first."""
        return self._call("GET", "web/batches")["batches"]

    def web_result(self, batch: int, bank: str = "") -> WebFile:
        """The result file of an upload, as it stands now."""
        return _web_file(self._call("GET", f"web/result?batch={batch}&bank={bank}"))

    def web_statement(self, account: str, first: str = "", last: str = "") -> WebFile:
        """The statement export of an account of the group; days as ISO dates, both counted."""
        days = {"first": first, "last": last}
        query = urlencode({"account": account} | {k: v for k, v in days.items() if v})
        return _web_file(self._call("GET", f"web/statement?{query}"))

    def pause(self, seconds: float) -> dict[str, Any]:
        """Refuse connections for so many real seconds (60 at most), then open again."""
        return self._call("POST", "pause", {"seconds": seconds})

    def point_at(self, hub_url: str) -> dict[str, Any]:
        """Push to a hub at this address from now on."""
        return self._call("PUT", "hub", {"url": hub_url})

    # -- the wire

    def _call(self, method: str, path: str, body: Any = None, *, raw: bytes | None = None) -> Any:
        sent = raw if body is None else msgspec.json.encode(body)
        connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        try:
            connection.request(
                method,
                f"/admin/{path}",
                body=sent,
                headers={"Authorization": f"Bearer {self._token}"},
            )
            answer = connection.getresponse()
            said = answer.read()
        except OSError:
            raise Unavailable(
                "sandbox.not_running",
                f"No sandbox answers at {self.url}.",
                "Start it with: caiwutong up",
            ) from None
        finally:
            connection.close()
        value = msgspec.json.decode(said)
        if answer.status != 200:
            raise Refused(value["code"], value["detail"], value.get("cure", ""))
        return value


def _web_file(answer: dict[str, str]) -> WebFile:
    return WebFile(answer["file_name"], base64.b64decode(answer["content"]))
