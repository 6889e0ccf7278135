"""Who is calling: the proof of a request, checked. HTTP itself stays in ``api``.

Promises: a wrong signature, an unknown key and another tenant's key are answered alike; a signed
write is done once (its nonce is remembered until the signature expires, or its idempotency key is
bound for ever by the handler); a revoked key stops within five seconds. Secrets are kept in this
process no longer than that.

Give it the machine's own clock: callers sign by theirs, not by a scaled business clock.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
from datetime import UTC, datetime
from uuid import UUID

import msgspec

from caiwutong.db.database import Database
from caiwutong.identity import http_signatures as http
from caiwutong.identity.http_signatures import RequestFacts, SignatureInput
from caiwutong.identity.model import ApiKeyRow, ApiKeyState, Caller
from caiwutong.identity.service import SecretWrap
from caiwutong.identity.store import IdentityStore
from caiwutong.kernel.clock import Clock
from caiwutong.kernel.errors import Unauthorised

_KEPT_S = 5.0
_RENEWED_S = 3.0
"""A key in use is read again before it is too old, so that nobody waits for it."""
_KEPT_KEYS = 10_000
_KEY_ID = re.compile(r"([a-z][a-z0-9_-]{1,31})\.([0-9a-f]{32})")
_NONCE = re.compile(r"[A-Za-z0-9_.+/=-]{16,128}")
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_NO_SECRET = bytes(32)


class _Known(msgspec.Struct, frozen=True):
    """A key as this process keeps it for a moment; ``caller`` None: there is no such key."""

    caller: Caller | None
    active: bool
    secret: bytes
    bearer_hash: bytes | None
    loaded_s: float


class Authenticator:
    """Checks proofs against the keys of one store."""

    def __init__(
        self, database: Database, store: IdentityStore, vault: SecretWrap, clock: Clock
    ) -> None:
        self._database = database
        self._store = store
        self._vault = vault
        self._clock = clock
        self._keys: dict[str, _Known] = {}
        self._loading: dict[str, asyncio.Future[_Known]] = {}

    async def authenticate(self, facts: RequestFacts) -> Caller:
        """The caller who proved itself. Raises Unauthorised; Unavailable when a key cannot be
        read now. Opens a transaction of its own only for a key not kept and for a nonce."""
        if facts.signature_input:
            return await self._signed(facts)
        if facts.authorization:
            return await self._bearer(facts)
        raise Unauthorised(
            "auth.missing",
            "The request carries no signature.",
            "Sign it with an API key: Signature-Input, Signature and Content-Digest.",
        )

    def at_once(self, facts: RequestFacts) -> Caller | None:
        """The same without reading or writing: None when it takes either, because the key is not
        kept here, a nonce must be remembered, or a bearer secret is shown. Raises Unauthorised."""
        if not facts.signature_input:
            return None
        now_s = self._clock.now().timestamp()
        parsed = _described(facts, now_s)
        known = self._fresh(parsed.key_id, now_s)
        if known is None or _needs_nonce(parsed, facts):
            return None
        if now_s - known.loaded_s > _RENEWED_S and parsed.key_id not in self._loading:
            self._begin_load(parsed.key_id, now_s)
        return _proved(known, parsed, facts)

    def forget(self) -> None:
        """Drop the keys kept in this process: one was made or revoked here."""
        self._keys.clear()

    async def forget_nonces(self, tenant: str) -> int:
        """Delete nonces whose signatures have expired; how many. Called now and then."""
        before = self._clock.now()
        async with self._database.transaction() as tx:
            return await self._store.forget_nonces(tx, tenant, before)

    async def _signed(self, facts: RequestFacts) -> Caller:
        now_s = self._clock.now().timestamp()
        parsed = _described(facts, now_s)
        needs_nonce = _needs_nonce(parsed, facts)
        known = self._fresh(parsed.key_id, now_s) or await self._load(parsed.key_id, now_s)
        caller = _proved(known, parsed, facts)
        if needs_nonce:
            await self._remember(caller, parsed)
        return caller

    async def _bearer(self, facts: RequestFacts) -> Caller:
        scheme, _, token = facts.authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthorised(
                "auth.missing",
                f"The authorization scheme {scheme[:16]!r} is not accepted.",
                "Sign the request with an API key.",
            )
        if not facts.loopback:
            raise Unauthorised(
                "auth.bearer_not_loopback",
                "A bearer secret is accepted only from this machine itself.",
                "Sign the request with the API key's HMAC secret; a secret that travelled a "
                "network should be revoked.",
            )
        key_id = token.rpartition(".")[0]
        now_s = self._clock.now().timestamp()
        known = self._fresh(key_id, now_s) or await self._load(key_id, now_s)
        given = hashlib.sha256(token.encode()).digest()
        fits = hmac.compare_digest(known.bearer_hash or _NO_SECRET, given)
        if not fits or known.caller is None or known.bearer_hash is None:
            raise Unauthorised(
                "auth.bad_bearer",
                "The bearer secret is not one that is known here.",
                "Use the token as it was shown when the API key was made.",
            )
        _check_active(known)
        return known.caller

    def _fresh(self, key_id: str, now_s: float) -> _Known | None:
        known = self._keys.get(key_id)
        if known is None or not 0 <= now_s - known.loaded_s <= _KEPT_S:
            return None
        return known

    async def _load(self, key_id: str, now_s: float) -> _Known:
        """Read a key, once for all the requests that wait for it."""
        running = self._loading.get(key_id) or self._begin_load(key_id, now_s)
        return await asyncio.shield(running)

    def _begin_load(self, key_id: str, now_s: float) -> asyncio.Future[_Known]:
        running = asyncio.ensure_future(self._read(key_id, now_s))
        self._loading[key_id] = running
        running.add_done_callback(lambda done: self._loaded(key_id, done))
        return running

    def _loaded(self, key_id: str, done: asyncio.Future[_Known]) -> None:
        self._loading.pop(key_id, None)
        if not done.cancelled():
            done.exception()  # Whoever waits is told; a renewal that failed is tried again.

    async def _read(self, key_id: str, now_s: float) -> _Known:
        match = _KEY_ID.fullmatch(key_id)
        row: ApiKeyRow | None = None
        if match is not None:
            async with self._database.transaction() as tx:
                row = await self._store.find(tx, match[1], ApiKeyRow, UUID(match[2]))
        if match is None or row is None:
            known = _Known(None, False, _NO_SECRET, None, now_s)
        else:
            known = _Known(
                Caller(match[1], row.api_key_id, row.name),
                row.state == ApiKeyState.ACTIVE,
                self._vault.unwrap_secret(key_id, row.sealed_secret),
                row.bearer_hash,
                now_s,
            )
        if len(self._keys) >= _KEPT_KEYS:
            self._keys.clear()  # Someone tries key after key; the real ones are read again.
        self._keys[key_id] = known
        return known

    async def _remember(self, caller: Caller, parsed: SignatureInput) -> None:
        until = datetime.fromtimestamp(parsed.expires + http.CLOCK_SKEW_S, UTC)
        async with self._database.transaction() as tx:
            new = await self._store.remember_nonce(
                tx, caller.tenant, caller.api_key_id, parsed.nonce, until
            )
        if not new:
            raise Unauthorised(
                "auth.replayed",
                "This signed request was received before.",
                "Sign again with a new nonce, if the request is really meant twice.",
            )


def _described(facts: RequestFacts, now_s: float) -> SignatureInput:
    """What the signature says of itself, checked as far as no key is needed."""
    parsed = http.parse(facts.signature_input)
    http.check_time(parsed, now_s)
    http.check_coverage(parsed, facts)
    return parsed


def _proved(known: _Known, parsed: SignatureInput, facts: RequestFacts) -> Caller:
    """The caller behind a key, once the signature fits. An unknown key costs the same sums and
    gets the same words as a wrong signature."""
    if not http.fits(known.secret, parsed, facts) or known.caller is None:
        raise Unauthorised(
            "auth.bad_signature",
            "The signature does not fit the request and the key it names.",
            "Check the key id, the secret, and that nothing changes the request on its way.",
        )
    _check_active(known)
    return known.caller


def _needs_nonce(parsed: SignatureInput, facts: RequestFacts) -> bool:
    """Whether the nonce must be new. Reads may be repeated; a write may when its idempotency key
    is bound for ever."""
    if facts.method in _SAFE or (facts.key_is_nonce and facts.idempotency_key is not None):
        return False
    if _NONCE.fullmatch(parsed.nonce) is None:
        raise Unauthorised(
            "auth.nonce_missing",
            "A signed write needs a nonce of 16 to 128 characters of base64 or base64url.",
            "Add a nonce parameter with at least 16 random characters to the signature.",
        )
    return True


def _check_active(known: _Known) -> None:
    """Only who proved the secret learns that the key was revoked."""
    if not known.active:
        raise Unauthorised(
            "auth.revoked_key",
            "This API key was revoked.",
            "Ask the tenant's administrator for a new API key.",
        )
