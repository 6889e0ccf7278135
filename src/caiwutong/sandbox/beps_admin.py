"""The person's hand on BEPS: look, close a round now, make the quota short, announce an outage."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from caiwutong.kernel.errors import Refused
from caiwutong.sandbox.beps_centre import BepsCentre
from caiwutong.sandbox.beps_notices import BepsNotices

Act = Callable[[Mapping[str, str], bytes], Any]


class _Quota(msgspec.Struct, forbid_unknown_fields=True):
    quota_fen: int


class _Outage(msgspec.Struct, forbid_unknown_fields=True):
    until: datetime | None = None
    since: datetime | None = None
    words: str = "系统临时停运"


class BepsAdmin:
    """Admin requests about BEPS, under ``/admin/beps``."""

    def __init__(self, centre: BepsCentre, notices: BepsNotices) -> None:
        self._centre = centre
        self._notices = notices

    @property
    def routes(self) -> dict[tuple[str, str], Act]:
        """What ``Admin`` serves beside its own."""
        return {
            ("GET", "/admin/beps"): self._look,
            ("POST", "/admin/beps/round"): self._round,
            ("PUT", "/admin/beps/quota"): self._quota,
            ("POST", "/admin/beps/outage"): self._outage,
        }

    def _look(self, query: Mapping[str, str], body: bytes) -> Any:
        centre = self._centre
        closed = centre.closed(centre.network.clock.now())
        return {
            "next_round": centre.next_round,
            "out_of_service": closed.words or closed.why if closed else "",
            "quota_fen": centre.quota_fen,
            "owed_fen": centre.debt_fen,
            "outages": [
                {"since": each.valid_from, "until": each.valid_until, "words": each.words}
                for each in centre.outages()
            ],
        }

    def _round(self, query: Mapping[str, str], body: bytes) -> Any:
        return {"netted": self._centre.close_round()}

    def _quota(self, query: Mapping[str, str], body: bytes) -> Any:
        wish = msgspec.json.decode(body, type=_Quota)
        if wish.quota_fen < 0:
            raise Refused("sandbox.quota", "A quota is not below zero.", "0 is no quota at all.")
        self._centre.quota_fen = wish.quota_fen
        return self._look(query, body)

    def _outage(self, query: Mapping[str, str], body: bytes) -> Any:
        """Announced at once (ccms.809), in force from ``since`` (now when left out)."""
        wish = msgspec.json.decode(body or b"{}", type=_Outage)
        since = wish.since or self._centre.network.clock.now()
        given = [each for each in (wish.since, wish.until) if each is not None]
        if any(each.tzinfo is None for each in given):
            raise Refused("sandbox.outage", "A time has no offset.", "Write it as RFC 3339.")
        if wish.until is not None and wish.until <= since:
            raise Refused("sandbox.outage", "The outage ends before it begins.", "Check until.")
        outage = self._centre.announce(since.replace(microsecond=0), wish.until, wish.words)
        self._notices.announce(outage.valid_from, outage.valid_until, outage.words)
        return self._look(query, body)
