"""What the centre announces to everybody (926, 801, 809), as values of the rail contract. Pure.

Read next: ``rails/catalog``, where an announcement becomes a dated fact.
"""

from __future__ import annotations

from caiwutong.rails.cnaps import messages as m
from caiwutong.rails.contract import Notice, NoticeKind

RAILS = {"HVPS": "hvps", "BEPS": "beps", "IBPS": "ibps"}
"""The systems the centre speaks of, and the rails they are here. An announcement about another
system concerns none of our channels."""


def notices_of(frame: m.Frame) -> list[Notice]:
    """The announcement in a verified message: one, or none."""
    header, said = frame.header, frame.message
    rail = RAILS.get(getattr(said, "system", ""))
    if rail is None:
        return []
    match said:
        case m.LimitChange():
            return [
                Notice(
                    kind=NoticeKind.LIMIT,
                    rail=rail,
                    at=header.at,
                    effective_from=said.effective_from,
                    effective_until=said.effective_until,
                    limit_fen=said.amount_fen,
                    words=said.words,
                    message_id=header.message_id,
                )
            ]
        case m.SystemDay():
            return [
                Notice(
                    kind=NoticeKind.SYSTEM_DAY,
                    rail=rail,
                    at=header.at,
                    effective_from=said.effective_from,
                    day=said.day,
                    working_day=not said.holiday,
                    words=said.words,
                    message_id=header.message_id,
                )
            ]
        case m.Outage():
            return [
                Notice(
                    kind=NoticeKind.OUTAGE,
                    rail=rail,
                    at=header.at,
                    effective_from=said.effective_from,
                    effective_until=said.effective_until,
                    words=said.words,
                    message_id=header.message_id,
                )
            ]
        case _:
            return []
