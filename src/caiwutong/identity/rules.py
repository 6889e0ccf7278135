"""What well-formed names, codes and numbers are. Pure."""

from __future__ import annotations

import hashlib
import re

import msgspec
from stdnum.cn import uscc as stdnum_uscc
from stdnum.exceptions import ValidationError

from caiwutong.identity.model import Person
from caiwutong.kernel.errors import Refused

_TENANT = re.compile(r"[a-z][a-z0-9_-]{1,31}")
_CODE = re.compile(r"[a-z0-9][a-z0-9_-]{0,23}")
_NAME_CHARS = 120


_sorted_json = msgspec.json.Encoder(order="sorted")


def person_digest(person: Person) -> bytes:
    """SHA-256 over who a person is: id, name, role, algorithm and public key, as sorted JSON."""
    who = {
        "algorithm": person.algorithm.value,
        "name": person.name,
        "person_id": str(person.person_id),
        "public_key": person.public_key.hex(),
        "role": person.role,
    }
    return hashlib.sha256(_sorted_json.encode(who)).digest()


def check_tenant(tenant: str) -> None:
    """Refuse a short name that cannot stand for a tenant."""
    if _TENANT.fullmatch(tenant) is None:
        raise Refused(
            "identity.bad_tenant",
            f"{tenant[:40]!r} cannot name a tenant.",
            "Use 2 to 32 of a-z, 0-9, _ and -, beginning with a letter.",
        )


def check_code(code: str) -> None:
    """Refuse a code that cannot stand inside a ledger code."""
    if _CODE.fullmatch(code) is None:
        raise Refused(
            "identity.bad_code",
            f"{code[:40]!r} cannot be a code.",
            "Use 1 to 24 of a-z, 0-9, _ and -, for example u07.",
        )


def check_name(name: str) -> None:
    """Refuse an empty or endless name, and one that cannot be printed."""
    if not name.strip() or len(name) > _NAME_CHARS or not name.isprintable():
        raise Refused(
            "identity.bad_name",
            f"The name has {len(name)} characters, or some that cannot be printed.",
            f"Write 1 to {_NAME_CHARS} printable characters.",
        )


def check_uscc(text: str) -> str:
    """The 统一社会信用代码 in capitals, its check character verified (GB 32100-2015). Raises
    Refused."""
    number = text.strip().upper()
    try:
        return str(stdnum_uscc.validate(number))
    except ValidationError:
        raise Refused(
            "identity.bad_uscc",
            f"{number[:24]!r} is not a 统一社会信用代码: length, characters or check character "
            "are wrong.",
            "Copy the 18 characters from the business licence (no I, O, S, V or Z).",
        ) from None
