"""The words of BEPS that no other system has: batches of credits, and the answers they get.

A payment here is a *transaction* inside a message; its key is (originating bank, transaction id),
and the transaction id is the attempt's reference, whichever message carries it. A message about a
single payment (ccms.307, 318 …) therefore names it by that id. Amounts are integer fen. Messages
shared with the other systems are in ``rails/cnaps/messages.py``.
Read next: ``shapes.py`` (how each word is written).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Self

import msgspec

from caiwutong.kernel.money import CNY
from caiwutong.rails.cnaps.messages import Original
from caiwutong.rails.contract import AccountAtBank


class Credit(msgspec.Struct, frozen=True):
    """One payment inside a batch. With ``type_code`` A105 (退汇) it brings money back, and names
    the payment whose money it is."""

    transaction_id: str
    """交易标识号, unique for ever for the payer's bank; at most 20 letters and digits here."""
    amount_fen: int
    payer: AccountAtBank
    payee: AccountAtBank
    type_code: str = "A100"
    """A100 汇兑, A105 退汇, C200 网银汇兑."""
    category: str = "02102"
    """业务种类: 02102 普通汇兑."""
    currency: str = CNY
    purpose: str = ""
    remark: str = ""
    original: Original | None = None


class _Batch(msgspec.Struct, frozen=True):
    """A group header (笔数, 金额合计) and the payments it vouches for. A batch whose count or total
    is wrong, or that names a transaction twice, cannot be made: ValueError."""

    count: int
    total_fen: int
    payments: tuple[Credit, ...]
    currency: str = CNY

    def __post_init__(self) -> None:
        if self.count != len(self.payments) or not self.payments:
            raise ValueError(f"the group header counts {self.count} payments")
        if self.total_fen != sum([each.amount_fen for each in self.payments]):
            raise ValueError("the group header's total is not the sum of its payments")
        if len({each.transaction_id for each in self.payments}) != self.count:
            raise ValueError("a transaction id stands twice in one batch")

    @classmethod
    def of(cls, payments: Sequence[Credit]) -> Self:
        """The batch of these payments, with its header."""
        total_fen = sum([each.amount_fen for each in payments])
        return cls(len(payments), total_fen, tuple(payments))


class CustomerCredits(_Batch, frozen=True):
    """beps.121 客户发起普通贷记: payments of customers, each with an outcome of its own."""


class InstitutionCredits(_Batch, frozen=True):
    """beps.122 金融机构发起普通贷记: payments of the institution itself."""


class RealTimeCredit(msgspec.Struct, frozen=True):
    """beps.123 实时贷记: one payment that the payee's bank answers at once. It is netted in the
    same rounds as all others."""

    payment: Credit


class RealTimeAnswer(msgspec.Struct, frozen=True):
    """beps.124: the payee bank's yes (PR10) or no (PR09 with a reject code) to a 123."""

    original: Original
    """Its id is the transaction's."""
    status: str
    amount_fen: int
    currency: str = CNY
    reason: str = ""
    words: str = ""
    bank_reference: str = ""


class Outcome(msgspec.Struct, frozen=True):
    """How far one payment of a batch has come."""

    transaction_id: str
    status: str
    reason: str = ""
    words: str = ""


class BatchConfirm(msgspec.Struct, frozen=True):
    """ccms.900 for a batch: one word on the message, and one on each payment there is news of."""

    original: Original
    """The batch: its id is the message's."""
    result: str
    status: str
    reason: str = ""
    words: str = ""
    outcomes: tuple[Outcome, ...] = ()


class Asked(msgspec.Struct, frozen=True):
    """One payment somebody asks about."""

    transaction_id: str


class StatusPull(msgspec.Struct, frozen=True):
    """ccms.316 状态查询: what became of these payments of ours?"""

    payments: tuple[Asked, ...]


class Found(msgspec.Struct, frozen=True):
    """What is known of one payment. A ``result`` of DONE comes with a status, UNKNOWN_ORIGINAL
    without."""

    transaction_id: str
    result: str
    status: str = ""
    reason: str = ""
    changed_at: datetime | None = None
    round_id: str = ""
    """Netting round (轧差场次), once netted."""
    words: str = ""


class StatusAnswer(msgspec.Struct, frozen=True):
    """ccms.317: one ``Found`` for each payment asked about."""

    answers: str
    """Message id of the 316."""
    sender: str
    """Whose payments these are: the participant that asked."""
    payments: tuple[Found, ...]
