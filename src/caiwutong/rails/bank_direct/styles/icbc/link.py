"""One connection to a bank of this style: who we are there, the keys, and documents carried.

Read next: ``connector.py``; ``bank_direct/line.py`` says which failures mean *ask*.
"""

from __future__ import annotations

import asyncio

from caiwutong.kernel.clock import CHINA
from caiwutong.kernel.errors import Refused, Unavailable
from caiwutong.rails.bank_direct.contract import Connection, Tools
from caiwutong.rails.bank_direct.elements import Word
from caiwutong.rails.bank_direct.fields import bank_time
from caiwutong.rails.bank_direct.line import Line
from caiwutong.rails.bank_direct.signing import load_keys
from caiwutong.rails.bank_direct.styles.icbc import codec, envelope
from caiwutong.rails.bank_direct.styles.icbc import messages as m
from caiwutong.rails.bank_direct.styles.icbc.profile import CHARSETS, GBK, ICBC_CMS, Profile
from caiwutong.rails.bank_direct.words import bad
from caiwutong.rails.contract import BadMessage, SentInDoubt

_HEADERS = {"Content-Type": "application/x-www-form-urlencoded"}


class IcbcConnection(Connection, frozen=True, kw_only=True, tag="icbc"):
    """An entry of this style: who we are at the bank, and the keys."""

    customer_id: str
    """集团CIS号."""
    user_id: str
    """ID: the name on the client certificate whose key signs."""
    signing_key: str
    """Our SM2 private key, 64 hex digits."""
    bank_key: str
    """The bank's SM2 public key, 130 hex digits."""
    charset: str = GBK
    """``GBK``, or ``GB18030`` where the bank takes rare signs of names."""
    batch_payments: int = 1
    """Payments in one package at most, 1 to 100. With 1 a package has the number of its payment,
    and questions name the package too, as a bank may insist; with more, questions name payments
    only."""


class Link:
    """A connection ready for use. Believes only what is signed by the bank."""

    def __init__(
        self, connection: IcbcConnection, tools: Tools, profile: Profile = ICBC_CMS
    ) -> None:
        _check(connection, profile)
        self.connection = connection
        self.profile = profile
        self.keys = load_keys(connection.signing_key, connection.bank_key)
        self._tools = tools
        self._line = Line(connection.name, tools, timeout_s=connection.timeout_s)
        self._slots = asyncio.Semaphore(profile.requests)

    async def close(self) -> None:
        await self._line.close()

    def pub(self, transaction: str, package: str, day: str, time: str) -> m.Pub:
        """The head of a document of ours."""
        return _pub(self.connection, self.profile, transaction, package, day, time)

    def sealed(self, pub: m.Pub, body: Word) -> bytes:
        """The signed form with this document. Raises Refused where a value cannot travel."""
        document = codec.encode_request(pub, body, self.connection.charset)
        form = envelope.Form(pub.transaction, pub.customer, pub.user, pub.package)
        return envelope.sealed(document, self.keys.signer, form)

    async def carry(self, form: bytes) -> bytes:
        """Post a form; what came back, not yet believed. Raises NotSent or SentInDoubt."""
        async with self._slots:
            return await self._line.post(self.connection.url, form, _HEADERS)

    def read(self, raw: bytes, transaction: str, package: str) -> codec.Document:
        """The bank's answer to exactly this request. Raises BadMessage."""
        document = codec.decode_answer(envelope.opened(raw, self.keys.verifier))
        pub = document.pub
        if (pub.transaction, pub.package) != (transaction, package):
            raise bad("other_answer", "The bank's answer belongs to another request.")
        if pub.customer != self.connection.customer_id:
            raise bad("unknown_user", "The bank's answer is for another customer.")
        return document

    async def ask(self, body: Word) -> codec.Document:
        """Send a question; the bank's answer to it. Raises NotSent, SentInDoubt, or BadMessage."""
        at = self._tools.clock.now()
        millis = at.astimezone(CHINA).microsecond // 1000
        package = f"{bank_time(at)}{millis:03d}{self._tools.randomness.bytes(8).hex().upper()}"
        transaction = codec.transaction_of(body)
        form = self.sealed(self.pub(transaction, package, *codec.stamp(at)), body)
        return self.read(await self.carry(form), transaction, package)

    async def ask_again(self, body: Word) -> codec.Document:
        """The same for questions that may be asked again without harm: everything that goes wrong
        is Unavailable."""
        try:
            document = await self.ask(body)
        except SentInDoubt as error:
            raise Unavailable("bank_direct.silent", error.detail, "Ask again later.") from None
        except BadMessage as error:
            raise unreadable(error) from None
        if isinstance(document.body, m.Refusal):
            raise Unavailable(
                REFUSED_QUERY,
                f"The bank answered {document.pub.code}: {document.pub.text[:80]}",
                "See the bank's code; ask again later.",
            )
        return document


REFUSED_QUERY = "bank_direct.refused_query"
"""Error code: the bank took the question and said no."""


def unreadable(error: BadMessage) -> Unavailable:
    """What an answer that cannot be read means for a question."""
    return Unavailable(error.code, error.detail, error.cure)


def _pub(
    connection: IcbcConnection,
    profile: Profile,
    transaction: str,
    package: str,
    day: str,
    time: str,
) -> m.Pub:
    return m.Pub(
        transaction=transaction,
        customer=connection.customer_id,
        bank=profile.bank,
        user=connection.user_id,
        day=day,
        time=time,
        package=package,
    )


def _check(connection: IcbcConnection, profile: Profile) -> None:
    if connection.charset not in CHARSETS:
        raise Refused(
            "bank_direct.charset",
            f"{connection.name} declares the character set {connection.charset[:20]!r}.",
            f"Write one of {', '.join(CHARSETS)}.",
        )
    if not 1 <= connection.batch_payments <= profile.package_payments:
        raise Refused(
            "bank_direct.batch_payments",
            f"{connection.name} puts {connection.batch_payments} payments in a package.",
            f"Write 1 to {profile.package_payments}.",
        )
    body = m.ReceiptRequest(account="1", line_id="1")
    pub = _pub(connection, profile, codec.transaction_of(body), "1", "20260101", "000000000")
    try:
        codec.encode_request(pub, body, connection.charset)
    except Refused as error:
        raise Refused(
            "bank_direct.identity",
            f"customer_id or user_id of {connection.name} cannot stand in a message.",
            "Write the customer number and the certificate's name in letters and digits.",
        ) from error
