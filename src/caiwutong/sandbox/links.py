"""The secrets of the link between the demo group and one direct bank."""

from __future__ import annotations

import msgspec


class LinkKeys(msgspec.Struct, frozen=True):
    """Both sides' keys of one link; a style uses what it needs of them."""

    user_id: str
    """UID of the group at this bank."""
    bank_secret: str
    """The bank's SM2 private key, hex."""
    hub_secret: str
    """The group's SM2 private key, hex: kept so that ``connections.json`` can be written again."""
    sm4: str
    password: str = ""
    """The operator's, where the style signs in."""

    def __repr__(self) -> str:
        return f"LinkKeys({self.user_id})"
