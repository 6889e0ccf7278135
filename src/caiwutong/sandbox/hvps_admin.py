"""The person's hand on HVPS: look, make funds short, bring funds in, announce to everybody."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any

import msgspec

from caiwutong.kernel.errors import NotFound, Refused
from caiwutong.rails.catalog import Closed
from caiwutong.rails.cnaps.notices import RAILS
from caiwutong.sandbox.hvps_centre import OUTSIDE_HOURS, HvpsCentre
from caiwutong.sandbox.hvps_notices import HvpsNotices
from caiwutong.sandbox.wire import MessageIds

Act = Callable[[Mapping[str, str], bytes], Any]


class _Funds(msgspec.Struct, forbid_unknown_fields=True):
    usable_fen: int | None = None
    """None: everything may be used again."""
    bank: str = ""


class _Fund(msgspec.Struct, forbid_unknown_fields=True):
    amount_fen: int
    payer: str = ""
    """The institution that lends; by default the one with most."""
    bank: str = ""


class _Policy(msgspec.Struct, forbid_unknown_fields=True):
    outside_hours: str


class _Outage(msgspec.Struct, forbid_unknown_fields=True):
    since: datetime | None = None
    until: datetime | None = None
    words: str = "系统临时停运"


class _Day(msgspec.Struct, forbid_unknown_fields=True):
    day: date
    working: bool
    words: str = ""


class _Limit(msgspec.Struct, forbid_unknown_fields=True):
    system: str
    amount_fen: int
    since: datetime | None = None
    until: datetime | None = None
    words: str = ""


class HvpsAdmin:
    """Admin requests about HVPS, under ``/admin/hvps``."""

    def __init__(self, centre: HvpsCentre, notices: HvpsNotices) -> None:
        self._centre = centre
        self._notices = notices
        self._network = centre.network
        self._ids = MessageIds()

    @property
    def routes(self) -> dict[tuple[str, str], Act]:
        """What ``Admin`` serves beside its own."""
        return {
            ("GET", "/admin/hvps"): self._look,
            ("PUT", "/admin/hvps/funds"): self._funds,
            ("POST", "/admin/hvps/fund"): self._fund,
            ("PUT", "/admin/hvps/policy"): self._policy,
            ("POST", "/admin/hvps/outage"): self._outage,
            ("POST", "/admin/hvps/day"): self._day,
            ("POST", "/admin/hvps/limit"): self._limit,
        }

    def _look(self, query: Mapping[str, str], body: bytes) -> Any:
        at = self._network.clock.now()
        state = self._centre.state(at)
        closed = isinstance(state, Closed)
        return {
            "open": not closed,
            "why_closed": state.why if closed else "",
            "until": state.until,
            "business_day": self._centre.business_day(at),
            "outside_hours": self._centre.outside_hours,
            "queue": [
                {
                    "reference": each.transfer.reference,
                    "bank": each.transfer.payer_bank,
                    "amount_fen": each.transfer.amount_fen,
                    "priority": each.priority,
                    "business_day": each.day,
                }
                for each in self._centre.waiting()
            ],
            "accounts": [
                each._asdict() | {"usable_fen": each.usable_fen}
                for each in self._network.accounts.all()
            ],
        }

    def _funds(self, query: Mapping[str, str], body: bytes) -> Any:
        """Let a bank (the sponsor by default) use so much of its settlement account."""
        wish = msgspec.json.decode(body, type=_Funds)
        bank = self._bank(wish.bank)
        balance = self._network.accounts.of(bank).balance_fen
        if wish.usable_fen is not None and not 0 <= wish.usable_fen <= balance:
            raise Refused(
                "sandbox.funds",
                f"{wish.usable_fen} fen are not between 0 and the balance.",
                "Bring funds in with: caiwutong sandbox hvps --fund",
            )
        usable = balance if wish.usable_fen is None else wish.usable_fen
        self._network.accounts.earmark(bank, balance - usable)
        self._centre.drain()
        return self._look(query, body)

    def _fund(self, query: Mapping[str, str], body: bytes) -> Any:
        """Another institution sends money to a bank's settlement account (hvps.112)."""
        wish = msgspec.json.decode(body, type=_Fund)
        bank = self._bank(wish.bank)
        payer = (
            wish.payer
            or max(
                (each for each in self._network.accounts.all() if each.bank != bank),
                key=lambda each: each.usable_fen,
            ).bank
        )
        if wish.amount_fen <= 0:
            raise Refused("sandbox.amount", "The amount is not above zero.", "Send fen.")
        if why := self._centre.reserves_refusal(payer, bank, wish.amount_fen):
            raise Refused("sandbox.not_funded", f"The transfer of reserves is refused: {why}.")
        reference = self._ids.new(self._network.clock.now())
        if bank == self._network.world.sponsor:
            # Told first: the message of the inflow stands before those of what it settles.
            self._notices.funded(payer, wish.amount_fen, reference)
        self._centre.transfer_reserves(payer, reference, payer, bank, wish.amount_fen)
        return self._look(query, body)

    def _policy(self, query: Mapping[str, str], body: bytes) -> Any:
        wish = msgspec.json.decode(body, type=_Policy)
        if wish.outside_hours not in OUTSIDE_HOURS:
            raise Refused("sandbox.policy", f"outside_hours is one of {', '.join(OUTSIDE_HOURS)}.")
        self._centre.outside_hours = wish.outside_hours
        return self._look(query, body)

    def _outage(self, query: Mapping[str, str], body: bytes) -> Any:
        """Announced at once (ccms.809), in force from ``since`` (now when left out)."""
        wish = msgspec.json.decode(body or b"{}", type=_Outage)
        since, until = self._window(wish.since, wish.until)
        self._notices.announce_outage(since, until, wish.words)
        return self._look(query, body)

    def _day(self, query: Mapping[str, str], body: bytes) -> Any:
        """Announce that the system works, or does not work, on a day (ccms.801)."""
        wish = msgspec.json.decode(body, type=_Day)
        self._notices.announce_day(wish.day, working=wish.working, words=wish.words)
        return self._look(query, body)

    def _limit(self, query: Mapping[str, str], body: bytes) -> Any:
        """Announce a limit of one system (ccms.926)."""
        wish = msgspec.json.decode(body, type=_Limit)
        if wish.system not in RAILS.values() or wish.amount_fen <= 0:
            raise Refused(
                "sandbox.limit",
                "A limit is above zero fen and of a system that is known.",
                f"Systems: {', '.join(sorted(RAILS.values()))}.",
            )
        since, until = self._window(wish.since, wish.until)
        self._notices.announce_limit(wish.system, wish.amount_fen, since, until, wish.words)
        return self._look(query, body)

    def _window(
        self, since: datetime | None, until: datetime | None
    ) -> tuple[datetime, datetime | None]:
        if any(each is not None and each.tzinfo is None for each in (since, until)):
            raise Refused("sandbox.window", "A time has no offset.", "Write it as RFC 3339.")
        begin = (since or self._network.clock.now()).replace(microsecond=0)
        if until is not None and until <= begin:
            raise Refused("sandbox.window", "It ends before it begins.", "Check since and until.")
        return begin, until

    def _bank(self, code: str) -> str:
        bank = code or self._network.world.sponsor
        if bank not in self._network.books:
            raise NotFound("sandbox.no_bank", f"There is no bank {bank[:12]!r}.")
        return bank
