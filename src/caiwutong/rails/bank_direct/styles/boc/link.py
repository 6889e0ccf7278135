"""One connection to a bank of this style: the session, its token, and documents carried in it.

The token rule. A message goes out under the token of the session. Where the bank refuses the
*token* (``b2eerror`` with ``SESSION_OVER``, signed by the bank, for this message and this token),
it has not looked into the message: we sign in again and the same message goes again, a payment as
well. After anything else, silence above all, a payment is never sent again from here: the bank
may have it, and only asking tells. A sign-in carries no payment, so whatever becomes of it, the
payment waiting behind it was certainly not sent. Read next: ``connector.py``.
"""

from __future__ import annotations

import asyncio
import hmac

from caiwutong.crypto.gm import sm3_hmac
from caiwutong.kernel.errors import Refused
from caiwutong.rails.bank_direct.contract import Connection, Tools
from caiwutong.rails.bank_direct.elements import Word
from caiwutong.rails.bank_direct.fields import bank_time
from caiwutong.rails.bank_direct.line import Line
from caiwutong.rails.bank_direct.signing import load_keys
from caiwutong.rails.bank_direct.styles.boc import codec, envelope, profile
from caiwutong.rails.bank_direct.styles.boc import messages as m
from caiwutong.rails.bank_direct.styles.boc.profile import BOC_B2E, Profile
from caiwutong.rails.bank_direct.words import bad
from caiwutong.rails.contract import BadMessage, NotSent, SentInDoubt

_HEADERS = {"Content-Type": "application/xml; charset=utf-8"}
_MORE_SESSIONS = 3
"""How often a message whose token was refused may go in a new session. More than once, because
another process of the hub may sign in between, and a bank may let only the newest token live."""


class BocConnection(Connection, frozen=True, kw_only=True, tag="boc"):
    """An entry of this style: who we are at the bank, and the secrets."""

    terminal_id: str
    """termid: the front end's number at the bank."""
    customer_id: str
    """custid."""
    operator_id: str
    """cusopr."""
    password: str
    """The operator's; never on the wire."""
    signing_key: str
    """Our SM2 private key, 64 hex digits."""
    bank_key: str
    """The bank's SM2 public key, 130 hex digits."""
    session_requests: int = BOC_B2E.session_requests
    """Requests under way in the session at one moment, at most what the bank allows."""
    batch_payments: int = BOC_B2E.batch_payments
    """Payments in one message: fewer leave fewer in doubt when an answer is lost."""


class Link:
    """A connection ready for use. Believes only what is signed by the bank."""

    def __init__(self, connection: BocConnection, tools: Tools, profile: Profile = BOC_B2E) -> None:
        if connection.session_requests < 1:
            raise Refused(
                "bank_direct.session_requests",
                f"{connection.name} may have {connection.session_requests} requests under way.",
                "Write at least 1.",
            )
        if not 1 <= connection.batch_payments <= profile.batch_payments:
            raise Refused(
                "bank_direct.batch_payments",
                f"{connection.name} may send {connection.batch_payments} payments in a message.",
                f"Write 1 to {profile.batch_payments}.",
            )
        self.connection = connection
        self.profile = profile
        self.keys = load_keys(connection.signing_key, connection.bank_key)
        self._tools = tools
        self._line = Line(connection.name, tools, timeout_s=connection.timeout_s)
        at_once = min(connection.session_requests, profile.session_requests)
        self._slots = asyncio.Semaphore(at_once)
        self._signing_in = asyncio.Lock()
        self._token = ""

    async def close(self) -> None:
        """Close the line and forget the session."""
        self._token = ""
        await self._line.close()

    def head(self, function: str, message_id: str) -> m.Head:
        """The head of a message of ours, without a token."""
        return m.Head(
            terminal=self.connection.terminal_id,
            message_id=message_id,
            customer=self.connection.customer_id,
            operator=self.connection.operator_id,
            function=function,
        )

    def keep(self, document: bytes) -> bytes:
        """An order as it waits to be sent, under a seal of our own key."""
        return self._seal(document) + b"\n" + document

    def kept(self, body: bytes) -> bytes:
        """The order in what ``keep`` gave. Raises NotSent where a byte of it was changed since."""
        seal, _, document = body.partition(b"\n")
        if not hmac.compare_digest(seal, self._seal(document)):
            raise NotSent(
                "bank_direct.order_changed",
                "The order is not as it was written down; it was not sent.",
                "Encode the attempt again. If it repeats, look for what changes messages here.",
            )
        return document

    def _seal(self, document: bytes) -> bytes:
        return sm3_hmac(bytes.fromhex(self.connection.signing_key), document).hex().encode()

    async def carry(self, document: bytes, message_id: str) -> bytes:
        """Send a document in the session; the bank's frame, not yet believed. Raises NotSent or
        SentInDoubt by the token rule."""
        async with self._slots:
            raw, why, token = await self._try(document, message_id, "")
            for _ in range(_MORE_SESSIONS):
                if why != profile.SESSION_OVER:
                    break
                raw, why, token = await self._try(document, message_id, token)
        if why:
            raise NotSent(
                "bank_direct.session_refused",
                f"The bank of {self.connection.name} did not look into the message ({why}).",
                "Nothing was done with it; the same message may go again a little later.",
            )
        return raw

    async def _try(self, document: bytes, message_id: str, refused: str) -> tuple[bytes, str, str]:
        """Send once, under another token than the refused one: what came, why the bank did not
        look into it (or empty), and the token."""
        token = await self._session_token(refused)
        frame = envelope.sealed(document, self.keys.signer, token=token)
        raw = await self._line.post(self.connection.url, frame, _HEADERS)
        return raw, self._not_looked_into(raw, message_id, token), token

    async def ask(self, body: Word) -> codec.Document:
        """Send a question; the bank's answer to exactly this one. Raises NotSent, SentInDoubt, or
        BadMessage for an answer that cannot be believed."""
        message_id = self._new_message_id()
        document = codec.encode(self.head(codec.function_of(body), message_id), body)
        return self.read(await self.carry(document, message_id), message_id)

    def read(self, raw: bytes, message_id: str) -> codec.Document:
        """The document in the bank's answer to this message. Raises BadMessage."""
        document = codec.decode(envelope.opened(raw, self.keys.verifier))
        if document.head.message_id != message_id:
            raise bad("other_answer", "The bank's answer belongs to another request.")
        return document

    async def _session_token(self, refused: str) -> str:
        """The token in use; a new one where there is none, or it is the refused one."""
        async with self._signing_in:
            if not self._token or self._token == refused:
                self._token = ""
                self._token = await self._sign_in()
            return self._token

    async def _sign_in(self) -> str:
        at = bank_time(self._tools.clock.now())
        proof = sm3_hmac(self.connection.password.encode(), at.encode()).hex()
        body = m.SignInRequest(sign_in=m.SignIn(at=at, proof=proof))
        message_id = self._new_message_id()
        document = codec.encode(self.head(profile.SIGN_IN, message_id), body)
        frame = envelope.sealed(document, self.keys.signer)
        try:
            raw = await self._line.post(self.connection.url, frame, _HEADERS)
            answer = self.read(raw, message_id).body
        except (SentInDoubt, BadMessage) as error:
            raise self._no_session(error.detail) from None
        if isinstance(answer, m.SignInAnswer) and answer.status.code == profile.OK and answer.token:
            return answer.token
        status = answer.status if isinstance(answer, m.SignInAnswer | m.ErrorAnswer) else None
        told = f"{status.code} {status.words}" if status else "another answer came"
        raise self._no_session(f"Sign-in was refused: {told[:120]}.")

    def _no_session(self, why: str) -> NotSent:
        return NotSent(
            "bank_direct.no_session",
            f"The bank of {self.connection.name} gave no session. {why}",
            "Nothing was sent. Check the operator and the password; the same message may go again.",
        )

    def _not_looked_into(self, raw: bytes, message_id: str, token: str) -> str:
        """Why the bank did not look into the message, or empty. Only its own signature over this
        message id and this token counts."""
        try:
            document = self.read(raw, message_id)
        except BadMessage:
            return ""
        body = document.body
        if not isinstance(body, m.ErrorAnswer) or document.head.token != token:
            return ""
        return body.status.code if body.status.code in profile.NOT_LOOKED_INTO else ""

    def _new_message_id(self) -> str:
        now = self._tools.clock.now()
        millis = f"{now.microsecond // 1000:03d}"
        return f"{bank_time(now)}{millis}{self._tools.randomness.bytes(8).hex()}"
