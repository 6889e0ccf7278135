"""What a connector must offer to be examined: itself, a payer and payees, and a bank in our hand.

Written for a connector that meets a real other side with books of its own. ``sandboxed.py`` is the
ready one over the sandbox; a connector with another world implements this class itself.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Mapping
from enum import StrEnum
from uuid import UUID

from caiwutong.kernel.clock import Clock
from caiwutong.kernel.ids import reference
from caiwutong.rails.contract import (
    NOT_FOUND,
    AccountAtBank,
    Attempt,
    Rail,
    RailReport,
    ReportKind,
)

NAMES = {
    "南京恒瑞贸易有限公司": "ordinary",
    "上海（自贸区）中远海运股份有限公司": "ordinary",
    "阿不都热依木·买买提": "ordinary",
    "鎔基、堃、喆、瑄": "ordinary",
    "王䶮": "rare",
    "㐂田商店": "rare",
    "𠮷野家餐饮有限公司": "rare",
    "李𬭚": "rare",
    'A&B <贸易> "公司"': "markup",
}
"""Payees' names by how hard they are: ``ordinary`` ones every bank must take (GBK holds them), the
others may be refused before anything is sent, with what to do instead; never changed on the way."""


class Trouble(StrEnum):
    """What can be made to happen to the next message."""

    LOST_REQUEST = "lost_request"
    """It never arrives; the line breaks."""
    LOST_REPLY = "lost_reply"
    """It is executed; the answer is lost."""
    LATE = "late"
    """The line breaks; two minutes later it is executed after all."""
    WRONG_SIGNATURE = "wrong_signature"
    """It is executed; the answer is signed by somebody else."""
    OUTAGE = "outage"
    """Nobody can be reached, whatever is asked."""


class Trait(StrEnum):
    """What not every channel has. A subject names those it ``lacks``, with the reason."""

    NOTICES = "notices"
    """The bank tells results of itself."""
    TROUBLE = "trouble"
    """The other side can be made to misbehave."""
    SIGNATURE = "signature"
    """Messages are signed, in both directions."""
    RETURNS = "returns"
    """A return after settlement is reported (by notice, enquiry or ``returned_payments``)."""
    RECEIPTS = "receipts"
    RETURNED_PAYMENTS = "returned_payments"
    STATEMENT = "statement"
    BALANCES = "balances"


class Subject(ABC):
    """One connector before its examiner."""

    rail: Rail
    clock: Clock
    payer: AccountAtBank
    lacks: Mapping[Trait, str] = {}

    _numbers = itertools.count(1)

    @abstractmethod
    def payee(self, name: str = "", *, closed: bool = False) -> AccountAtBank:
        """A payee at another bank: of this name (one of ``NAMES``), or any; ``closed``: whose
        account can take nothing."""

    @abstractmethod
    async def work(self) -> None:
        """Let the other side go on for some seconds of business time."""

    @abstractmethod
    async def pass_time(self, seconds: float) -> None:
        """Let so much business time pass."""

    @abstractmethod
    def trouble(self, kind: Trouble | None) -> None:
        """Make it happen from now on, to each message once; None: everything is well again."""

    @abstractmethod
    def debits(self, reference: str) -> list[int]:
        """What left the payer's account under this reference and stayed away, by the bank's own
        books, in fen: one element for each execution."""

    @abstractmethod
    def named(self, reference: str) -> str:
        """The payee's name as the bank's books have it."""

    @abstractmethod
    async def give_back(self, attempt: Attempt) -> None:
        """The payee's bank returns the money."""

    @abstractmethod
    async def notices(self) -> list[bytes]:
        """Everything the bank told of itself, as ``decode`` wants it."""

    # ---- what the examiner does with it

    def attempt(
        self, amount_fen: int = 1_234_56, payee: AccountAtBank | None = None, purpose: str = "货款"
    ) -> Attempt:
        """A payment of ours, written down now."""
        at = self.clock.now()
        number = UUID(int=(0xC0FFEE << 96) | (7 << 76) | next(self._numbers))
        return Attempt(
            tenant="demo",
            payment_id=number,
            attempt_id=number,
            rail=self.rail.name,
            reference=reference(at, number),
            payer=self.payer,
            payee=payee or self.payee(),
            amount_fen=amount_fen,
            created_at=at,
            valid_until=self.rail.valid_until(at),
            purpose=purpose,
        )

    async def pay(self, *attempts: Attempt) -> list[RailReport]:
        """Send these attempts together; what was said at once."""
        return [
            report
            for message in self.rail.encode_many(attempts)
            for report in self.rail.decode(await self.rail.send(message))
        ]

    async def ask(self, attempt: Attempt) -> RailReport:
        """What the bank says now."""
        (report,) = await self.rail.enquire([attempt])
        assert report.reference == attempt.reference
        return report

    async def end_of(self, attempt: Attempt, rounds: int = 60) -> RailReport:
        """What the bank says in the end."""
        report = await self.ask(attempt)
        for _ in range(rounds):
            if report.kind not in (ReportKind.ACCEPTED, ReportKind.IN_DOUBT):
                break
            if report.code == NOT_FOUND:
                break
            await self.work()
            report = await self.ask(attempt)
        return report
