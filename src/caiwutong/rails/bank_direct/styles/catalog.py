"""Which styles there are: one line each. Adding a bank of a new wire format touches its own folder
and this table, nothing else. Read next: ``docs/rails/writing-a-connector.md``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Union

import msgspec

from caiwutong.kernel.errors import Refused
from caiwutong.rails.bank_direct.contract import Connection, Style
from caiwutong.rails.bank_direct.styles.boc.connector import BocConnector
from caiwutong.rails.bank_direct.styles.boc.link import BocConnection
from caiwutong.rails.bank_direct.styles.cmb.connector import CmbConnector
from caiwutong.rails.bank_direct.styles.cmb.link import CmbConnection
from caiwutong.rails.bank_direct.styles.icbc.connector import IcbcConnector
from caiwutong.rails.bank_direct.styles.icbc.link import IcbcConnection
from caiwutong.rails.bank_direct.styles.pab.connector import PabConnector
from caiwutong.rails.bank_direct.styles.pab.link import PabConnection

STYLES: dict[str, Style] = {
    "cmb": Style(CmbConnection, CmbConnector),
    "boc": Style(BocConnection, BocConnector),
    "pab": Style(PabConnection, PabConnector),
    "icbc": Style(IcbcConnection, IcbcConnector),
}
"""By the ``style`` of an entry in ``connections.json``."""


def style_of(connection: Connection, styles: Mapping[str, Style] = STYLES) -> Style:
    """The style whose entry this is. Raises Refused where it is not in the catalog."""
    for style in styles.values():
        if type(connection) is style.connection:
            return style
    raise Refused(
        "bank_direct.unknown_style",
        f"{type(connection).__name__} is no entry of a known style.",
        f"Known styles: {', '.join(styles)}.",
    )


def read_connections(
    entries: Sequence[Mapping[str, Any]], styles: Mapping[str, Style] = STYLES
) -> tuple[Connection, ...]:
    """The entries under ``bank_direct`` of ``connections.json``. An entry written before there were
    styles is of the first one, named by its user id. Raises Refused, naming no value."""
    kinds = Union[tuple(style.connection for style in styles.values())]  # noqa: UP007 - made here
    found: list[Connection] = []
    for number, entry in enumerate(entries, 1):
        whole = {"style": "cmb", "name": entry.get("user_id", ""), **entry}
        try:
            found.append(msgspec.convert(whole, kinds))
        except msgspec.ValidationError as error:
            # The words of msgspec name the path and the types, never a value but the style.
            raise Refused(
                "bank_direct.bad_connection",
                f"Entry {number} under bank_direct is not a connection: {error}.",
                f"See docs/rails/bank-direct.md; known styles: {', '.join(styles)}.",
            ) from None
    return tuple(found)
