"""Who exists in the sandbox: banks, a demo group with its accounts, and outsiders to pay.

``demo_world(seed)`` always gives the same world for the same seed. It is written as ``world.json``
beside the books, so that whoever seeds a hub reads the file and never this code. All names are
invented; numbers have the form of real ones (联行号 with a check digit, USCC with theirs).
Next: ``books``, where the accounts live, and ``setup``, which writes the files.
"""

from __future__ import annotations

import random
from enum import StrEnum
from pathlib import Path

import msgspec
from stdnum.iso7064 import mod_11_10

GROUP_NAME = "华东示例集团"
UNITS = 37
"""成员单位 of the demo group."""
PAYEES = 300
NETTING_QUOTA_FEN = 20_000_000_000_00
"""Twenty thousand million CNY: far above what the demo group has."""
BAD_PAYEES = {"frozen": 6, "closed": 6, "wrong_name": 6}
"""How many of the payees cannot be paid, by condition: 18 of 300, six in a hundred."""


class BankKind(StrEnum):
    """What sort of bank it is; the kinds fail differently on real networks."""

    STATE = "state"
    JOINT_STOCK = "joint_stock"
    CITY = "city"
    RURAL = "rural"
    FINANCE_COMPANY = "finance_company"
    """企业集团财务公司: the sponsoring participant of the demo group."""


class FeeBand(msgspec.Struct, frozen=True):
    """Up to this amount (fen, inclusive) a payment to another bank costs this fee (fen)."""

    up_to_fen: int
    fee_fen: int


COUNTER_TARIFF = (
    FeeBand(10_000_00, 5_00),
    FeeBand(100_000_00, 10_00),
    FeeBand(500_000_00, 15_00),
    FeeBand(1_000_000_00, 20_00),
    FeeBand(10_000_000_00, 200_00),
)
"""发改价格〔2014〕268号, counter tariff; above 1,000,000 it is 0.002 % capped at 200, taken here as
the cap. Electronic channels set their own tariffs: the demo banks take half."""


class Bank(msgspec.Struct, frozen=True):
    """One bank (or finance company) with its own books."""

    code: str
    """联行号, twelve digits."""
    name: str
    kind: BankKind
    protocol: str = ""
    """How its corporate customers reach it: ``ibps`` (the sponsor), ``bank_direct``, ``bank_file``
    (only a web page), or empty."""
    fees: tuple[FeeBand, ...] = ()
    """What it takes for a payment to another bank; empty is free."""
    beps_credit: str = "round"
    """When it credits what comes over BEPS: with the netting ``round``, or at ``acceptance``."""
    style: str = "cmb"
    """The wire format of its direct interface, for ``bank_direct`` (``styles.STYLES``)."""
    template: str = ""
    """The batch template its web page takes, for ``bank_file``."""


class LegalEntity(msgspec.Struct, frozen=True):
    """法人主体 of the demo group."""

    key: str
    name: str
    uscc: str


class MemberUnit(msgspec.Struct, frozen=True):
    """成员单位: part of one legal entity, with accounts of its own."""

    key: str
    name: str
    entity: str
    """Key of the legal entity it belongs to."""


class OwnAccount(msgspec.Struct, frozen=True):
    """A bank account of the demo group, from which the hub can pay."""

    account: str
    name: str
    unit: str
    bank_code: str
    bank_name: str
    nature: str
    """``basic`` 基本存款账户 (one per legal entity) or ``general`` 一般存款账户."""
    access_modes: tuple[str, ...]
    opening_fen: int
    overdraft_fen: int = 0


class Payee(msgspec.Struct, frozen=True):
    """An outsider with an account somewhere."""

    name: str
    """The account name to write on an order; for ``wrong_name`` not the one the bank knows."""
    account: str
    bank_code: str
    bank_name: str
    condition: str = "ok"
    """``ok``, or why a payment to it is refused: ``frozen``, ``closed``, ``wrong_name``."""
    name_at_bank: str = ""
    """The name in the bank's books where it differs from ``name``."""
    opening_fen: int = 0


class World(msgspec.Struct, frozen=True):
    """Everything that exists when the sandbox opens."""

    seed: int
    group: str
    sponsor: str
    """联行号 of the sponsoring participant."""
    centre: str
    """Twelve-digit code of the clearing centre."""
    banks: tuple[Bank, ...]
    entities: tuple[LegalEntity, ...]
    units: tuple[MemberUnit, ...]
    accounts: tuple[OwnAccount, ...]
    payees: tuple[Payee, ...]
    netting_quota_fen: int = 0
    """轧差额度 of the sponsor on BEPS: what it may owe and not have settled. Zero: no quota."""

    def bank(self, code: str) -> Bank:
        """The bank with this 联行号; KeyError when there is none."""
        for bank in self.banks:
            if bank.code == code:
                return bank
        raise KeyError(code)


def bank_code(eleven: str) -> str:
    """The 联行号 for these eleven digits: 3 bank, 4 city, 4 branch, and the check digit
    (ISO 7064 MOD 11,10, which fits most published codes; no official text says so)."""
    return eleven + mod_11_10.calc_check_digit(eleven)


_HALF = tuple(FeeBand(band.up_to_fen, band.fee_fen // 2) for band in COUNTER_TARIFF)

_BANKS: tuple[tuple[str, str, BankKind, str], ...] = (
    ("90730109001", "华东示例集团财务有限公司", BankKind.FINANCE_COMPANY, "ibps"),
    ("10229009101", "国信银行", BankKind.STATE, "bank_direct"),
    ("10330109102", "国丰银行", BankKind.STATE, "bank_direct"),
    ("30829009201", "浦江银行", BankKind.JOINT_STOCK, "bank_direct"),
    ("30530109202", "兴华银行", BankKind.JOINT_STOCK, "bank_direct"),
    ("31033109203", "远山银行", BankKind.JOINT_STOCK, "bank_direct"),
    ("31330109301", "临江银行", BankKind.CITY, "bank_direct"),
    ("31333109302", "海州银行", BankKind.CITY, ""),
    ("40245209401", "沂河农村商业银行", BankKind.RURAL, "bank_file"),
)
_TEMPLATE = "rural-credit-batch"
_STYLES: dict[str, str] = {"国信银行": "icbc", "国丰银行": "boc", "临江银行": "pab"}
"""By name of the bank: the style of its direct interface, where it is not ``cmb``."""
_CENTRE = "000100000008"

_PLACES = (
    *("南京", "苏州", "无锡", "常州", "杭州", "宁波"),
    *("合肥", "芜湖", "济南", "青岛", "福州", "厦门"),
)
_TRADES = (
    *("贸易", "建材", "物流", "机电", "纺织", "食品"),
    *("医药", "能源", "包装", "电子", "化工", "印刷"),
)
_WORDS = tuple("恒瑞泰和源盛宏达鑫明嘉安润佳联凯")
_SURNAMES = tuple("王李张刘陈杨赵黄周吴")
_GIVEN = tuple("伟芳娜敏静磊洋勇艳杰")

_ENTITIES = (
    ("E01", "华东示例集团有限公司", 1),
    ("E02", "华东示例建设工程有限公司", 7),
    ("E03", "华东示例物流有限公司", 6),
    ("E04", "华东示例商贸有限公司", 6),
    ("E05", "华东示例能源有限公司", 5),
    ("E06", "华东示例机械制造有限公司", 5),
    ("E07", "华东示例食品有限公司", 4),
    ("E08", "华东示例信息技术有限公司", 3),
)


def demo_world(seed: int = 1) -> World:
    """The demo world: nine banks, eight legal entities with 37 member units, 300 payees."""
    draw = random.Random(f"caiwutong world {seed}")
    banks = tuple(
        Bank(
            bank_code(eleven),
            name,
            kind,
            protocol,
            _HALF if protocol == "bank_direct" else (),
            "acceptance" if number % 2 else "round",
            _STYLES.get(name, "cmb"),
            _TEMPLATE if protocol == "bank_file" else "",
        )
        for number, (eleven, name, kind, protocol) in enumerate(_BANKS)
    )
    entities = tuple(LegalEntity(key, name, _uscc(draw)) for key, name, _ in _ENTITIES)
    units = _units()
    return World(
        seed=seed,
        group=GROUP_NAME,
        sponsor=banks[0].code,
        centre=_CENTRE,
        banks=banks,
        entities=entities,
        units=units,
        accounts=_own_accounts(draw, banks, units),
        payees=_payees(draw, banks[1:]),
        netting_quota_fen=NETTING_QUOTA_FEN,
    )


def save_world(world: World, path: Path) -> None:
    """Write the world as readable JSON."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(world), indent=1) + b"\n")


def load_world(path: Path) -> World:
    """The world in this file."""
    return msgspec.json.decode(path.read_bytes(), type=World)


def _units() -> tuple[MemberUnit, ...]:
    units: list[MemberUnit] = []
    for key, name, count in _ENTITIES:
        for n in range(count):
            number = len(units) + 1
            place = _PLACES[number % len(_PLACES)]
            title = name if n == 0 else f"{name}{place}分公司"
            units.append(MemberUnit(f"U{number:02d}", title, key))
    assert len(units) == UNITS and len({unit.name for unit in units}) == UNITS
    return tuple(units)


def _own_accounts(
    draw: random.Random, banks: tuple[Bank, ...], units: tuple[MemberUnit, ...]
) -> tuple[OwnAccount, ...]:
    """One account at the sponsor for every unit; a second at a direct bank for heads of entities
    (their basic account) and every third unit; and a few at each direct bank of another style."""
    sponsor = banks[0]
    direct = [bank for bank in banks if bank.protocol == "bank_direct" and bank.style == "cmb"]
    accounts: list[OwnAccount] = []
    seen: set[str] = set()
    for number, unit in enumerate(units):
        head = unit.entity not in seen
        seen.add(unit.entity)
        opening = draw.randrange(80_000_000, 240_000_000) * 100
        accounts.append(
            OwnAccount(
                account=f"9073{number + 1:04d}{draw.randrange(10**8):08d}",
                name=unit.name,
                unit=unit.key,
                bank_code=sponsor.code,
                bank_name=sponsor.name,
                nature="general",
                access_modes=("ibps", "beps", "hvps"),
                opening_fen=opening,
                overdraft_fen=5_000_000_00 if unit.key == "U01" else 0,
            )
        )
        if head or number % 3 == 0:
            bank = direct[(len(accounts) - number) % len(direct)]
            accounts.append(
                OwnAccount(
                    account=f"{bank.code[:3]}9{number + 1:03d}{draw.randrange(10**8):08d}",
                    name=unit.name,
                    unit=unit.key,
                    bank_code=bank.code,
                    bank_name=bank.name,
                    nature="basic" if head else "general",
                    access_modes=("bank_direct",),
                    opening_fen=draw.randrange(40_000_000, 120_000_000) * 100,
                )
            )
    others = [bank for bank in banks if bank.protocol == "bank_direct" and bank.style != "cmb"]
    for bank in others:
        accounts += _accounts_at(bank, units)
    for bank in banks:
        if bank.protocol == "bank_file":
            accounts += _accounts_at(bank, units)
    return tuple(accounts)


def _accounts_at(bank: Bank, units: tuple[MemberUnit, ...]) -> list[OwnAccount]:
    """A general account of every seventh unit, drawn by itself: another bank changes nobody
    else's."""
    draw = random.Random(f"caiwutong accounts {bank.code}")
    return [
        OwnAccount(
            account=f"{bank.code[:3]}9{number + 1:03d}{draw.randrange(10**8):08d}",
            name=unit.name,
            unit=unit.key,
            bank_code=bank.code,
            bank_name=bank.name,
            nature="general",
            access_modes=(bank.protocol,),
            opening_fen=draw.randrange(40_000_000, 120_000_000) * 100,
        )
        for number, unit in enumerate(units)
        if number % 7 == int(bank.code[0]) % 7
    ]


def _payees(draw: random.Random, banks: tuple[Bank, ...]) -> tuple[Payee, ...]:
    conditions = [name for name, count in BAD_PAYEES.items() for _ in range(count)]
    conditions += ["ok"] * (PAYEES - len(conditions))
    draw.shuffle(conditions)
    names: set[str] = set()
    payees: list[Payee] = []
    for number, condition in enumerate(conditions):
        bank = banks[number % len(banks)]
        name = _name(draw, names, person=number % 10 == 9)
        written = _misspelt(name) if condition == "wrong_name" else name
        payees.append(
            Payee(
                name=written,
                account=f"6{bank.code[1:3]}{number:05d}{draw.randrange(10**8):08d}",
                bank_code=bank.code,
                bank_name=bank.name,
                condition=condition,
                name_at_bank=name if written != name else "",
                opening_fen=draw.randrange(1_000_000, 30_000_000) * 100,
            )
        )
    return tuple(payees)


def _misspelt(name: str) -> str:
    """A name the bank does not know: 有限公司 written as 股份公司, a person's last sign changed."""
    return name.replace("有限", "股份") if "有限" in name else name[:-1] + "某"


def _name(draw: random.Random, taken: set[str], *, person: bool) -> str:
    while True:
        if person:
            name = draw.choice(_SURNAMES) + draw.choice(_GIVEN) + draw.choice(_GIVEN)
        else:
            brand = draw.choice(_WORDS) + draw.choice(_WORDS)
            name = f"{draw.choice(_PLACES)}{brand}{draw.choice(_TRADES)}有限公司"
        if name not in taken:
            taken.add(name)
            return name


_USCC_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_USCC_WEIGHTS = (1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28)


def _uscc(draw: random.Random) -> str:
    """A made-up 统一社会信用代码 with a valid check character (GB 32100-2015)."""
    body = "91310115MA" + "".join(draw.choice(_USCC_ALPHABET) for _ in range(7))
    total = sum(_USCC_ALPHABET.index(c) * w for c, w in zip(body, _USCC_WEIGHTS, strict=True))
    return body + _USCC_ALPHABET[(31 - total % 31) % 31]
