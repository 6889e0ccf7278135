"""The header in front of every CNAPS2 message: fields at fixed places, V01 (IBPS) or V02.

    field            V01 offset/length   V02 offset/length
    {H:                     0/3                 0/3
    version                 3/2                 3/2
    sender                  5/12                5/14
    its system             17/4                19/4
    receiver               21/12               23/14
    its system             33/4                37/4
    date YYYYMMDD          37/8                41/8
    time HHMMSS            45/6                49/6
    XML                    51/3                55/3
    type                   54/20               58/20
    id                     74/20               78/20
    answers                94/20               98/20
    priority              114/1               118/1
    direction             115/1               119/1
    reserve               116/9               120/9
    }\\r\\n               125/3               129/3

Text is padded with spaces on the right; a participant has twelve digits in both. Date and time are
China's. Source: read, CNAPS2 standard.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from caiwutong.kernel.clock import CHINA
from caiwutong.kernel.errors import Refused
from caiwutong.rails.cnaps.messages import Header
from caiwutong.rails.contract import BadMessage

_REFERENCE = re.compile(r"[0-9A-Za-z]{1,20}")
_DIGITS = 12
"""Of a participant's code (行号)."""


class HeaderFormat:
    """One version of the header."""

    def __init__(self, version: str, participant_width: int) -> None:
        self.version = version
        self.opening = f"{{H:{version}".encode()
        self._width = participant_width
        self.length = 104 + 2 * participant_width
        party = rb"[0-9]{%d} {%d}" % (_DIGITS, participant_width - _DIGITS)
        self._fields = re.compile(
            rb"\{H:" + version.encode() + rb"(?P<sender>" + party + rb")"
            rb"(?P<sender_system>[A-Z0-9]{1,4} *)"
            rb"(?P<receiver>" + party + rb")"
            rb"(?P<receiver_system>[A-Z0-9]{1,4} *)"
            rb"(?P<date>[0-9]{8})(?P<time>[0-9]{6})XML"
            rb"(?P<kind>[a-z]{4}\.[0-9]{3}\.[0-9]{3}\.[0-9]{2} {5})"
            rb"(?P<id>[0-9A-Za-z ]{20})(?P<answers>[0-9A-Za-z ]{20})"
            rb"(?P<priority>[123])(?P<direction>[UD])[ -~]{9}\}\r\n"
        )

    def write(self, header: Header) -> bytes:
        """The bytes. Raises Refused for a field that does not fit its place."""
        at = header.at.astimezone(CHINA)
        width = self._width
        text = (
            f"{{H:{self.version}{header.sender:<{width}}{header.sender_system:<4}"
            f"{header.receiver:<{width}}{header.receiver_system:<4}{at:%Y%m%d%H%M%S}XML"
            f"{header.kind:<20}{header.message_id:<20}{header.answers:<20}"
            f"{header.priority}{header.direction}{'':<9}}}\r\n"
        )
        raw = text.encode("ascii", "replace")
        match = self._match(raw)
        if match is None or not _REFERENCE.fullmatch(header.message_id):
            raise Refused(
                "cnaps.header",
                f"The header of message {header.message_id[:20]!r} cannot be written.",
                "Participants have twelve digits; ids have 1 to 20 letters and digits.",
            )
        return raw

    def read(self, raw: bytes) -> Header:
        """The header in these bytes. Raises BadMessage."""
        match = self._match(raw)
        if match is None:
            raise BadMessage(
                "cnaps.header",
                f"The {self.length} header bytes are not a V{self.version} header.",
                "Fields stand at fixed places; see the table in the header module.",
            )
        field = {name: value.decode().rstrip(" ") for name, value in match.groupdict().items()}
        if not _REFERENCE.fullmatch(field["id"]) or (
            field["answers"] and not _REFERENCE.fullmatch(field["answers"])
        ):
            raise BadMessage("cnaps.header", "The message id is not padded on the right.", "Pad it")
        try:
            at = datetime.fromisoformat(f"{field['date']}T{field['time']}")
            at = at.replace(tzinfo=CHINA).astimezone(UTC)
        except (ValueError, OverflowError):
            raise BadMessage(
                "cnaps.header", "The header's date is no date.", "Send YYYYMMDD."
            ) from None
        return Header(
            kind=field["kind"],
            message_id=field["id"],
            sender=field["sender"],
            receiver=field["receiver"],
            at=at,
            answers=field["answers"],
            priority=int(field["priority"]),
            direction=field["direction"],
            sender_system=field["sender_system"],
            receiver_system=field["receiver_system"],
        )

    def _match(self, raw: bytes) -> re.Match[bytes] | None:
        return self._fields.fullmatch(raw) if len(raw) == self.length else None


V01 = HeaderFormat("01", 12)
V02 = HeaderFormat("02", 14)
