"""Which styles of direct banks the sandbox can be, one line each: the bank's skin, and what the hub
needs to know of the link (an entry under ``bank_direct`` of ``connections.json``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from caiwutong.crypto.gm import Sm2PrivateKey
from caiwutong.sandbox.direct import DirectBank
from caiwutong.sandbox.direct_boc import BocBank
from caiwutong.sandbox.direct_cmb import CmbBank
from caiwutong.sandbox.direct_icbc import IcbcBank
from caiwutong.sandbox.direct_pab import PabBank
from caiwutong.sandbox.links import LinkKeys


class SandboxStyle(NamedTuple):
    """One style, from the bank's side."""

    bank: type[DirectBank]
    entry: Callable[[LinkKeys], dict[str, Any]]
    """The fields of the style in a connection's entry: who the hub is there, and the keys."""


def _bank_key(link: LinkKeys) -> str:
    return Sm2PrivateKey.from_hex(link.bank_secret).public.to_hex()


def _cmb(link: LinkKeys) -> dict[str, Any]:
    return {
        "user_id": link.user_id,
        "signing_key": link.hub_secret,
        "bank_key": _bank_key(link),
        "sm4_key": link.sm4,
    }


def _boc(link: LinkKeys) -> dict[str, Any]:
    return {
        "terminal_id": f"E{link.user_id}",
        "customer_id": link.user_id,
        "operator_id": link.user_id,
        "password": link.password,
        "signing_key": link.hub_secret,
        "bank_key": _bank_key(link),
    }


def _pab(link: LinkKeys) -> dict[str, Any]:
    return {
        "customer_id": link.user_id,
        "signing_key": link.hub_secret,
        "bank_key": _bank_key(link),
        "batch_payments": 500,
    }


def _icbc(link: LinkKeys) -> dict[str, Any]:
    return {
        "customer_id": link.user_id,
        "user_id": f"{link.user_id}.c.0200",
        "signing_key": link.hub_secret,
        "bank_key": _bank_key(link),
        "charset": "GB18030",
        "batch_payments": 50,
    }


STYLES: dict[str, SandboxStyle] = {
    "cmb": SandboxStyle(CmbBank, _cmb),
    "boc": SandboxStyle(BocBank, _boc),
    "pab": SandboxStyle(PabBank, _pab),
    "icbc": SandboxStyle(IcbcBank, _icbc),
}
"""By ``Bank.style`` of the world, which is the ``style`` of the connection."""
