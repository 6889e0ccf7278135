"""``caiwutong create KIND field=value …`` and ``caiwutong list KIND``: what a tenant is made of.

The kinds and their fields are those of the API: enterprise, legal-entity, member-unit,
bank-account, payee, api-key, webhook. Lists are written with commas:
``access_modes=ibps,bank_direct``.
"""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from caiwutong.api.routes.access import NewApiKey
from caiwutong.api.routes.organisation import NewGroup, NewLegalEntity, NewMemberUnit
from caiwutong.api.routes.webhooks import NewWebhook
from caiwutong.bank_accounts.model import NewBankAccount, NewPayee
from caiwutong.cli.common import Shown, Subparsers, add, house
from caiwutong.db.database import Tx
from caiwutong.identity.model import EnterpriseGroup, LegalEntity, MemberUnit
from caiwutong.kernel.errors import Refused
from caiwutong.kernel.masking import mask_account
from caiwutong.wiring import Services

T = TypeVar("T", bound=msgspec.Struct)
Create = Callable[[Services, Tx, str, dict[str, str]], Awaitable[Any]]
List = Callable[[Services, Tx, str], Awaitable[list[Any]]]

ACTOR = "cli:operator"
_LISTS = frozenset({"access_modes", "kinds"})
_MOST = 500


def add_commands(subparsers: Subparsers) -> None:
    create = add(subparsers, "create", _create, "Create a record: field=value …")
    create.add_argument("kind", choices=sorted(_CREATE))
    create.add_argument("fields", nargs="+", metavar="field=value")
    listing = add(subparsers, "list", _list, "List the records of a kind.")
    listing.add_argument("kind", choices=sorted(_LIST))


async def _create(arguments: argparse.Namespace) -> Shown:
    fields = _fields(arguments.fields)
    async with house(arguments) as services, services.database.transaction() as tx:
        made = await _CREATE[arguments.kind](services, tx, services.settings.tenant, fields)
        shown = _masked(made)
    return Shown(shown, _line(shown))


async def _list(arguments: argparse.Namespace) -> Shown:
    async with house(arguments) as services, services.database.transaction() as tx:
        found = await _LIST[arguments.kind](services, tx, services.settings.tenant)
    shown = [_masked(record) for record in found]
    return Shown(shown, "\n".join(map(_line, shown)) or f"no {arguments.kind} yet")


def _fields(pairs: list[str]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise Refused(
                "cli.bad_field", f"{pair[:40]!r} is no field=value.", "Write name=示例有限公司."
            )
        fields[name] = value.split(",") if name in _LISTS else value
    return fields


def _as(kind: type[T], fields: dict[str, Any]) -> T:
    try:
        return msgspec.convert(fields, kind, strict=False)
    except msgspec.ValidationError as error:
        known = ", ".join(field.name for field in msgspec.structs.fields(kind))
        raise Refused("cli.bad_fields", f"{error}.", f"The fields are: {known}.") from error


def _masked(record: Any) -> dict[str, Any]:
    """The record as data, with account numbers masked."""
    data: dict[str, Any] = msgspec.to_builtins(record, enc_hook=str)
    if "account" in data and isinstance(data["account"], str):
        data["account"] = mask_account(data["account"])
    return data


def _line(data: dict[str, Any]) -> str:
    return "  ".join(f"{name}={value}" for name, value in data.items() if value not in (None, ""))


async def _group(s: Services, tx: Tx, tenant: str, fields: dict[str, Any]) -> Any:
    new = _as(NewGroup, fields)
    return await s.identity.create_group(tx, tenant, new.code, new.name, actor=ACTOR)


async def _entity(s: Services, tx: Tx, tenant: str, fields: dict[str, Any]) -> Any:
    new = _as(NewLegalEntity, fields)
    return await s.identity.create_legal_entity(
        tx, tenant, new.group_id, new.code, new.name, new.uscc, actor=ACTOR
    )


async def _unit(s: Services, tx: Tx, tenant: str, fields: dict[str, Any]) -> Any:
    new = _as(NewMemberUnit, fields)
    unit = await s.identity.create_member_unit(
        tx, tenant, new.legal_entity_id, new.code, new.name, actor=ACTOR
    )
    await s.identity.create_accounting_entity(
        tx, tenant, unit.member_unit_id, new.code, new.name, actor=ACTOR
    )
    return unit


async def _account(s: Services, tx: Tx, tenant: str, fields: dict[str, Any]) -> Any:
    return await s.bank_accounts.create(tx, tenant, _as(NewBankAccount, fields), actor=ACTOR)


async def _payee(s: Services, tx: Tx, tenant: str, fields: dict[str, Any]) -> Any:
    return await s.payees.create(tx, tenant, _as(NewPayee, fields), actor=ACTOR)


async def _api_key(s: Services, tx: Tx, tenant: str, fields: dict[str, Any]) -> Any:
    new = _as(NewApiKey, fields)
    made = await s.identity.create_api_key(tx, tenant, new.name, bearer=new.bearer, actor=ACTOR)
    # The only moment at which the secrets can be told.
    return {"key_id": made.api_key.key_id, "secret": made.secret, "bearer": made.bearer}


async def _webhook(s: Services, tx: Tx, tenant: str, fields: dict[str, Any]) -> Any:
    new = _as(NewWebhook, fields)
    made, secret = await s.webhooks.create(tx, tenant, new.url, new.kinds, new.description)
    return {"webhook_id": str(made.webhook_id), "url": made.url, "secret": secret}


_CREATE: dict[str, Create] = {
    "enterprise": _group,
    "legal-entity": _entity,
    "member-unit": _unit,
    "bank-account": _account,
    "payee": _payee,
    "api-key": _api_key,
    "webhook": _webhook,
}


def _organisation(kind: Any) -> List:
    async def found(s: Services, tx: Tx, tenant: str) -> list[Any]:
        return await s.identity.page(tx, tenant, kind, None, _MOST)

    return found


async def _accounts(s: Services, tx: Tx, tenant: str) -> list[Any]:
    return list(await s.bank_accounts.page(tx, tenant, limit=_MOST))


async def _payees(s: Services, tx: Tx, tenant: str) -> list[Any]:
    return list(await s.payees.page(tx, tenant, None, _MOST))


async def _api_keys(s: Services, tx: Tx, tenant: str) -> list[Any]:
    return list(await s.identity.api_keys(tx, tenant))


async def _webhooks(s: Services, tx: Tx, tenant: str) -> list[Any]:
    return list(await s.webhooks.page(tx, tenant, UUID(int=0), _MOST))


_LIST: dict[str, List] = {
    "enterprise": _organisation(EnterpriseGroup),
    "legal-entity": _organisation(LegalEntity),
    "member-unit": _organisation(MemberUnit),
    "bank-account": _accounts,
    "payee": _payees,
    "api-key": _api_keys,
    "webhook": _webhooks,
}
