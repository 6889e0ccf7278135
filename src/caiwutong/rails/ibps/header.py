"""The header V01 in front of every IBPS message: 128 bytes, fields at fixed places.

    {H: 0/3 · version 01 3/2 · sender 5/12 · its system 17/4 · receiver 21/12 · its system 33/4 ·
    date 37/8 · time 45/6 · XML 51/3 · type 54/20 · id 74/20 · answers 94/20 · priority 114/1 ·
    direction 115/1 · reserve 116/9 · }\\r\\n 125/3                            (offset / length)

Text is padded with spaces on the right. Date and time are China's. Source: read, CNAPS2 standard.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from caiwutong.kernel.clock import CHINA
from caiwutong.kernel.errors import Refused
from caiwutong.rails.contract import BadMessage
from caiwutong.rails.ibps.messages import Header

LENGTH = 128
OPENING = b"{H:01"

_FIELDS = re.compile(
    rb"\{H:01"
    rb"(?P<sender>[0-9]{12})(?P<sender_system>[A-Z0-9]{1,4} *)"
    rb"(?P<receiver>[0-9]{12})(?P<receiver_system>[A-Z0-9]{1,4} *)"
    rb"(?P<date>[0-9]{8})(?P<time>[0-9]{6})XML"
    rb"(?P<kind>[a-z]{4}\.[0-9]{3}\.[0-9]{3}\.[0-9]{2} {5})"
    rb"(?P<id>[0-9A-Za-z ]{20})(?P<answers>[0-9A-Za-z ]{20})"
    rb"(?P<priority>[123])(?P<direction>[UD])[ -~]{9}\}\r\n",
)
_REFERENCE = re.compile(r"[0-9A-Za-z]{1,20}")


def write_header(header: Header) -> bytes:
    """The 128 bytes. Raises Refused for a field that does not fit its place."""
    at = header.at.astimezone(CHINA)
    text = (
        f"{{H:01{header.sender:<12}{header.sender_system:<4}{header.receiver:<12}"
        f"{header.receiver_system:<4}{at:%Y%m%d%H%M%S}XML{header.kind:<20}"
        f"{header.message_id:<20}{header.answers:<20}{header.priority}{header.direction}"
        f"{'':<9}}}\r\n"
    )
    raw = text.encode("ascii", "replace")
    match = _FIELDS.fullmatch(raw)
    if match is None or not _REFERENCE.fullmatch(header.message_id):
        raise Refused(
            "ibps.header",
            f"The header of message {header.message_id[:20]!r} cannot be written.",
            "Participants have twelve digits; ids have 1 to 20 letters and digits.",
        )
    return raw


def read_header(raw: bytes) -> Header:
    """The header in these 128 bytes. Raises BadMessage."""
    match = _FIELDS.fullmatch(raw)
    if match is None:
        raise BadMessage(
            "ibps.header",
            "The 128 header bytes are not a V01 header.",
            "Fields stand at fixed places; see the table in the IBPS header module.",
        )
    field = {name: value.decode() for name, value in match.groupdict().items()}
    message_id, answers = field["id"].rstrip(" "), field["answers"].rstrip(" ")
    if not _REFERENCE.fullmatch(message_id) or (answers and not _REFERENCE.fullmatch(answers)):
        raise BadMessage("ibps.header", "The message id is not padded on the right.", "Pad it.")
    try:
        at = datetime.fromisoformat(f"{field['date']}T{field['time']}")
        at = at.replace(tzinfo=CHINA).astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadMessage("ibps.header", "The header's date is no date.", "Send YYYYMMDD.") from None
    return Header(
        kind=field["kind"].rstrip(" "),
        message_id=message_id,
        sender=field["sender"],
        receiver=field["receiver"],
        at=at,
        answers=answers,
        priority=int(field["priority"]),
        direction=field["direction"],
        sender_system=field["sender_system"].rstrip(" "),
        receiver_system=field["receiver_system"].rstrip(" "),
    )
