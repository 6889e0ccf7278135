"""The rail itself: several banks at once behind the common contract, over HTTP.

Owns: which bank serves which account, and how attempts become messages. The bank's rule is kept to
the letter (``profile.IDEMPOTENCY_RULE``): received is not paid, on any error ask, the reference of
an attempt never changes. Notices of the banks are posted to ``/v1/rails/bank_direct/messages`` and
go through ``decode``. Read next: ``link.py`` for the wire, ``account_service.py`` for accounts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

import aiohttp

from caiwutong.kernel.clock import Clock, Randomness
from caiwutong.kernel.errors import Refused
from caiwutong.kernel.money import yuan
from caiwutong.rails.bank_direct import account_service, codec, profile
from caiwutong.rails.bank_direct.envelope import Form, read_form, write_form
from caiwutong.rails.bank_direct.link import BankDirectConnection, Link
from caiwutong.rails.bank_direct.messages import (
    PayDetail,
    PayMode,
    PayQuery,
    PayQueryRequest,
    PayRequest,
)
from caiwutong.rails.bank_direct.profile import CMB_CLOUD, NAME, Profile
from caiwutong.rails.bank_direct.reports import (
    UNREADABLE,
    doubt,
    report_of_query,
    reports_of_answer,
    reports_of_notice,
    silence,
)
from caiwutong.rails.contract import (
    AccountAtBank,
    Attempt,
    BadMessage,
    BankBalance,
    Concerning,
    NotSent,
    RailMessage,
    RailReport,
    ReportKind,
    SentInDoubt,
    StatementPage,
)

UNSUPPORTED = "unsupported"
"""Report code: the interface has no message for what was asked."""

_KEEPALIVE_S = 15.0


class BankDirectRail:
    """Our own banks, each over its own link; the payer's bank code chooses. Needs a running event
    loop for anything that sends; ``close`` it when done."""

    name = NAME

    def __init__(
        self,
        connections: Sequence[BankDirectConnection],
        *,
        clock: Clock,
        randomness: Randomness,
        profile: Profile = CMB_CLOUD,
        least_real_timeout_s: float = 1.0,
    ) -> None:
        self._clock = clock
        self._profile = profile
        self._links: dict[str, Link] = {}
        for each in connections:
            if each.user_id in self._links:
                raise Refused(
                    "bank_direct.user_id_twice",
                    f"Two connections have the user id {each.user_id}.",
                    "Give each bank its own user id: answers are told apart by it.",
                )
            self._links[each.user_id] = Link(
                each,
                clock=clock,
                randomness=randomness,
                profile=profile,
                least_real_timeout_s=least_real_timeout_s,
            )
        self._codes = sorted(
            ((code, link) for link in self._links.values() for code in link.connection.bank_codes),
            key=lambda pair: len(pair[0]),
            reverse=True,
        )
        self._http: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the lines to the banks. The rail may be used again afterwards."""
        if self._http is not None:
            await self._http.close()
            self._http = None

    def serves(self, account: AccountAtBank) -> bool:
        """Whether one of our connections reaches this account's bank."""
        return self._find(account.bank_code) is not None

    # ---- paying

    def valid_until(self, at: datetime) -> datetime:
        """One hour on, when the bank stops taking a message signed now, and five minutes for the
        difference between two clocks."""
        window = self._profile.signature_window_s + self._profile.clock_allowance_s
        return at + timedelta(seconds=window)

    def encode_many(self, attempts: Sequence[Attempt]) -> list[RailMessage]:
        """One signed payment for each attempt. Raises Refused where no connection serves the payer
        or a field does not fit; then nothing is encoded."""
        return [self._encode(attempt) for attempt in attempts]

    async def send(self, message: RailMessage) -> bytes:
        """Post the payment. What comes back is the bank's answer in the same form, so that
        ``decode`` knows whose it is."""
        form = read_form(message.body)
        link = self._links.get(form.user_id)
        if link is None:
            raise NotSent(
                "bank_direct.no_connection",
                f"There is no connection with the user id {form.user_id} any more.",
                "Restore the connection; nothing was sent.",
            )
        raw = await link.pay(self._session(), message.body)
        return write_form(Form(form.user_id, form.function, raw.strip()))

    def decode(self, raw: bytes) -> list[RailReport]:
        """The reports in an answer (as ``send`` returned it) or in a notice of a bank."""
        if raw.lstrip()[:1] == b"{":
            return reports_of_notice(codec.decode_notice(raw, self._keys_of))
        form = read_form(raw)
        link = self._links.get(form.user_id)
        if link is None:
            raise BadMessage("bank_direct.unknown_user", "There is no link with this user id.")
        answer = codec.decode_answer(
            form.data, user_id=form.user_id, function=form.function, keys=link.keys
        )
        return reports_of_answer(answer)

    def acknowledge(self, raw: bytes) -> bytes:
        """The body of our answer to a notice that was taken in: nothing. HTTP 200 says it all."""
        return b""

    def _encode(self, attempt: Attempt) -> RailMessage:
        link = self._serving(attempt.payer)
        request_id = codec.pay_request_id(attempt.created_at, attempt.reference)
        # Signed as of the attempt, not of the sending: the same attempt sent again is the same
        # message, and the bank stops taking it exactly when ``valid_until`` says.
        body = codec.encode_request(
            pay_request(attempt, link),
            user_id=link.user_id,
            request_id=request_id,
            at=attempt.created_at,
            keys=link.keys,
        )
        return RailMessage(request_id, profile.PAY, (attempt.reference,), body)

    # ---- asking

    async def enquire(self, attempts: Sequence[Attempt]) -> list[RailReport]:
        """What each bank says of each reference, in order. Never raises for a silent bank."""
        return list(await asyncio.gather(*(self._enquire(each) for each in attempts)))

    async def _enquire(self, attempt: Attempt) -> RailReport:
        query = PayQuery(business=self._profile.business_code, reference=attempt.reference)
        try:
            link = self._serving(attempt.payer)
            answer = await link.ask(self._session(), PayQueryRequest(queries=(query,)))
            return report_of_query(answer, attempt.reference)
        except (NotSent, SentInDoubt) as error:
            return silence(attempt.reference, self._clock.now(), error.detail)
        except BadMessage as error:
            return doubt(attempt.reference, UNREADABLE, self._clock.now(), error.detail)
        except Refused as error:
            return doubt(attempt.reference, error.code, self._clock.now(), error.detail)

    # ---- what this style has no message for

    async def revoke(self, attempt: Attempt) -> list[RailReport]:
        """Always REJECTED as ``unsupported``: the interface cannot take a payment back. Asks once,
        so that the caller also learns how the payment stands now."""
        payment = await self._enquire(attempt)
        words = "The bank's interface has no message that takes a payment back."
        if self._profile.has_cancellation and payment.code in ("AUT", "NTE"):
            words += " It may still be cancelled on the bank's own page; the bank then reports C."
        return [payment, self._unsupported(attempt, Concerning.REVOCATION, words)]

    async def request_return(self, attempt: Attempt, reason: str) -> list[RailReport]:
        """Always REJECTED as ``unsupported``: ask the payee, or the bank in writing."""
        words = "The bank's interface has no message that asks the payee's bank for the money."
        return [self._unsupported(attempt, Concerning.RETURN_REQUEST, words)]

    def _unsupported(self, attempt: Attempt, concerning: Concerning, words: str) -> RailReport:
        return RailReport(
            kind=ReportKind.REJECTED,
            rail=NAME,
            reference=attempt.reference,
            code=UNSUPPORTED,
            at=self._clock.now(),
            words=words,
            concerning=concerning,
        )

    # ---- accounts

    async def balances(self, accounts: Sequence[AccountAtBank]) -> list[BankBalance]:
        """What the banks say stands on these accounts; one the bank refuses is left out."""
        groups: dict[str, tuple[Link, list[str]]] = {}
        for each in accounts:
            link = self._serving(each)
            groups.setdefault(link.user_id, (link, []))[1].append(each.account)
        http = self._session()
        found = await asyncio.gather(
            *(account_service.balances(link, http, numbers) for link, numbers in groups.values())
        )
        return [balance for part in found for balance in part]

    async def statement(self, account: AccountAtBank, cursor: str) -> StatementPage:
        """The lines after ``cursor``, at most 200; from 13 months back where it is empty."""
        link = self._serving(account)
        now = self._clock.now()
        return await account_service.statement(link, self._session(), account.account, cursor, now)

    async def past_balances(
        self, account: AccountAtBank, first: datetime, days: int
    ) -> list[account_service.DayBalance]:
        """What stood on the account at the end of each of these past days."""
        link = self._serving(account)
        return await account_service.past_balances(
            link, self._session(), account.account, first, days
        )

    async def returned(
        self, account: AccountAtBank, first: datetime, last: datetime
    ) -> list[RailReport]:
        """The payments out of this account that came back between these two days."""
        link = self._serving(account)
        return await account_service.returned(link, self._session(), account.account, first, last)

    async def receipt(
        self, account: AccountAtBank, booked_at: datetime, line_id: str
    ) -> account_service.Receipt:
        """The bank's electronic receipt (电子回单) of one statement line."""
        link = self._serving(account)
        return await account_service.receipt(
            link, self._session(), account.account, booked_at, line_id
        )

    # ---- links

    def _find(self, bank_code: str) -> Link | None:
        for code, link in self._codes:
            if bank_code.startswith(code):
                return link
        return None

    def _serving(self, account: AccountAtBank) -> Link:
        link = self._find(account.bank_code)
        if link is None:
            raise Refused(
                "bank_direct.no_connection",
                f"No direct connection serves the bank {account.bank_code[:12] or '(none)'}.",
                "Add a connection for this bank, or choose another channel.",
            )
        return link

    def _keys_of(self, user_id: str) -> codec.Keys | None:
        link = self._links.get(user_id)
        return None if link is None else link.keys

    def _session(self) -> aiohttp.ClientSession:
        if self._http is None or self._http.closed:
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE_S)
            self._http = aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
            )
        return self._http


def pay_request(attempt: Attempt, link: Link) -> PayRequest:
    """The payment an attempt asks for, in the bank's words. Raises Refused for what does not fit:
    a payee's name is never cut, a purpose is."""
    facts = link.profile
    if len(attempt.reference) > facts.reference_length:
        raise _does_not_fit("reference", len(attempt.reference), facts.reference_length)
    if len(attempt.payee.name) > facts.name_length:
        raise _does_not_fit("payee's name", len(attempt.payee.name), facts.name_length)
    codes = link.connection.bank_codes
    in_bank = any(attempt.payee.bank_code.startswith(code) for code in codes)
    channel = profile.channel_for(attempt.amount_fen, attempt.priority, facts)
    detail = PayDetail(
        payer_account=attempt.payer.account,
        payee_account=attempt.payee.account,
        payee_name=attempt.payee.name,
        payee_bank_name=attempt.payee.bank_name[: facts.bank_name_length],
        payee_bank_code=attempt.payee.bank_code,
        currency=facts.currency_code,
        amount=yuan(attempt.amount_fen, grouped=False),
        in_bank="Y" if in_bank else "N",
        channel="" if in_bank else channel,
        purpose=(attempt.purpose or attempt.remark or "转账")[: facts.text_length],
        remark=attempt.remark[: facts.text_length],
        reference=attempt.reference,
    )
    mode = PayMode(mode=link.connection.business_mode, business=facts.business_code)
    return PayRequest(modes=(mode,), payments=(detail,))


def _does_not_fit(what: str, length: int, limit: int) -> Refused:
    return Refused(
        "bank_direct.does_not_fit",
        f"The {what} has {length} characters; the bank takes {limit}.",
        f"Shorten the {what}, or choose another channel.",
    )
