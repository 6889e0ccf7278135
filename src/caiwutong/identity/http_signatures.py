"""How a caller signs a request, and how the signature is checked. Pure.

RFC 9421 (HTTP Message Signatures, February 2024) with ``hmac-sha256``, one signature a request, and
RFC 9530 (Digest Fields, February 2024) with ``sha-256`` over the body. Always covered: ``@method``,
``@path``, ``@query``, ``content-digest``; and ``idempotency-key`` when the request carries one.
Parameters: ``created``, ``expires``, ``keyid``, ``alg``, and ``nonce`` where one is asked for. A
signature lives five minutes at most. Anything else is refused: what is not understood is not
trusted.
"""

from __future__ import annotations

import binascii
import hmac
import re
from base64 import b64decode, b64encode
from hashlib import sha256

import msgspec

from caiwutong.kernel.errors import Unauthorised

MAX_LIFE_S = 300
CLOCK_SKEW_S = 30
"""How far the caller's clock may be off ours, either way."""
ALGORITHM = "hmac-sha256"
ALWAYS_COVERED = ("@method", "@path", "@query", "content-digest")
IDEMPOTENCY_KEY = "idempotency-key"
MAX_FIELD_CHARS = 1024

_TEXT = r"[\x20\x21\x23-\x5b\x5d-\x7e]{0,256}"
_NAME = r'"[a-z@-]{1,32}"'
_INPUT = re.compile(
    rf"([a-z*][a-z0-9_.*-]{{0,31}})=(\(({_NAME}(?: {_NAME}){{0,7}})\)"
    rf'((?:;[a-z]{{1,16}}=(?:"{_TEXT}"|[0-9]{{1,12}})){{1,8}}))'
)
_PARAMETER = re.compile(rf';([a-z]+)=(?:"({_TEXT})"|([0-9]+))')
_SIGNATURE = re.compile(r"([a-z*][a-z0-9_.*-]{0,31})=:([A-Za-z0-9+/]{43}=):")
_TARGET = re.compile(r"[A-Z]{1,16} /[\x21-\x3e\x40-\x7e]*\?[\x21-\x7e]*")
_KEY = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?")

_SENT_AS = (*ALWAYS_COVERED, IDEMPOTENCY_KEY)
_EXPECTED = {
    " ".join(f'"{name}"' for name in ALWAYS_COVERED): ALWAYS_COVERED,
    " ".join(f'"{name}"' for name in _SENT_AS): _SENT_AS,
}


class RequestFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What is signed of a request, and how. Text as it came over the wire."""

    method: str
    path: str
    """The path as sent, still percent-encoded: ``/v1/payments``."""
    query: str = ""
    """After the question mark, as sent; empty without one."""
    body: bytes = b""
    content_digest: str = ""
    signature_input: str = ""
    signature: str = ""
    idempotency_key: str | None = None
    authorization: str = ""
    loopback: bool = False
    """The peer is this machine, and no proxy stands between (no ``Forwarded`` and no
    ``X-Forwarded-For`` header): only then a bearer secret is accepted."""
    key_is_nonce: bool = False
    """The handler binds the idempotency key to the content for ever, so that a replay is answered
    and not repeated: no nonce is needed then."""


class SignatureInput(msgspec.Struct, frozen=True):
    """A ``Signature-Input`` field, taken apart."""

    label: str
    components: tuple[str, ...]
    parameters: str
    """From the opening bracket to the end, as it came: what ``@signature-params`` signs."""
    created: int
    expires: int
    key_id: str
    nonce: str = ""


def content_digest(body: bytes) -> str:
    """The ``Content-Digest`` field of a body (RFC 9530)."""
    return f"sha-256=:{b64encode(sha256(body).digest()).decode()}:"


def sign(
    secret: bytes,
    key_id: str,
    *,
    method: str,
    path: str,
    query: str = "",
    body: bytes = b"",
    idempotency_key: str | None = None,
    nonce: str = "",
    created: int,
    expires: int | None = None,
) -> dict[str, str]:
    """The header fields a caller adds: ``Content-Digest``, ``Signature-Input``, ``Signature``, and
    ``Idempotency-Key`` when there is one. ``created`` in whole seconds since 1970."""
    components = _SENT_AS if idempotency_key is not None else ALWAYS_COVERED
    listed = " ".join(f'"{name}"' for name in components)
    parameters = f"({listed});created={created};expires={expires or created + MAX_LIFE_S}"
    if nonce:
        parameters += f';nonce="{nonce}"'
    parameters += f';keyid="{key_id}";alg="{ALGORITHM}"'
    fields = {"Content-Digest": content_digest(body), "Signature-Input": f"sig1={parameters}"}
    if idempotency_key is not None:
        fields["Idempotency-Key"] = idempotency_key
    facts = RequestFacts(
        method=method,
        path=path,
        query=query,
        body=body,
        content_digest=fields["Content-Digest"],
        idempotency_key=idempotency_key,
    )
    base = signature_base(facts, components, parameters)
    mac = hmac.digest(secret, base, "sha256")
    fields["Signature"] = f"sig1=:{b64encode(mac).decode()}:"
    return fields


def parse(signature_input: str) -> SignatureInput:
    """A ``Signature-Input`` field taken apart. Raises Unauthorised ``auth.bad_signature_input``
    for anything but one well-formed signature with exactly the parameters this house knows."""
    match = _INPUT.fullmatch(signature_input) if len(signature_input) <= MAX_FIELD_CHARS else None
    if match is None:
        raise _bad_input("it is not one signature in the form of RFC 9421")
    label, parameters, listed, tail = match.groups()
    components = _EXPECTED.get(listed) or tuple(name[1:-1] for name in listed.split(" "))
    found: dict[str, str] = {}
    for name, text, number in _PARAMETER.findall(tail):
        wants_number = name in ("created", "expires")
        if name in found or wants_number != bool(number) or name not in _KNOWN:
            raise _bad_input(f"parameter {name[:16]} is repeated, of another type, or not known")
        found[name] = number or text
    if found.get("alg") != ALGORITHM or not found.keys() >= _NEEDED:
        raise _bad_input("created, expires, keyid and alg=hmac-sha256 are needed")
    return SignatureInput(
        label,
        components,
        parameters,
        int(found["created"]),
        int(found["expires"]),
        found["keyid"],
        found.get("nonce", ""),
    )


_KNOWN = frozenset({"created", "expires", "nonce", "keyid", "alg"})
_NEEDED = frozenset({"created", "expires", "keyid"})


def check_time(parsed: SignatureInput, now_s: float) -> None:
    """Refuse a signature whose time has not come, has passed, or is too long."""
    if not 0 < parsed.expires - parsed.created <= MAX_LIFE_S:
        raise Unauthorised(
            "auth.bad_lifetime",
            f"The signature lives {parsed.expires - parsed.created} s.",
            f"Let expires be 1 to {MAX_LIFE_S} s after created.",
        )
    if now_s > parsed.expires + CLOCK_SKEW_S:
        raise Unauthorised(
            "auth.expired",
            f"The signature expired {now_s - parsed.expires:.0f} s ago.",
            "Sign the request again; if this repeats, set the caller's clock.",
        )
    if now_s < parsed.created - CLOCK_SKEW_S:
        raise Unauthorised(
            "auth.not_yet_valid",
            f"The signature was made {parsed.created - now_s:.0f} s in the future.",
            "Set the caller's clock.",
        )


def check_coverage(parsed: SignatureInput, facts: RequestFacts) -> None:
    """Refuse a signature that leaves out what must be signed, and a body with another digest."""
    wanted = _SENT_AS if facts.idempotency_key is not None else ALWAYS_COVERED
    if parsed.components != wanted and (
        len(parsed.components) != len(wanted) or set(parsed.components) != set(wanted)
    ):
        raise Unauthorised(
            "auth.not_covered",
            "The signature does not cover exactly what this request must be signed over.",
            f"Cover {', '.join(wanted)}.",
        )
    if not hmac.compare_digest(facts.content_digest.encode(), content_digest(facts.body).encode()):
        raise Unauthorised(
            "auth.bad_digest",
            "The Content-Digest field is not the SHA-256 of this body.",
            "Send Content-Digest: sha-256=:<base64>: over the body's exact bytes.",
        )


def fits(secret: bytes, parsed: SignatureInput, facts: RequestFacts) -> bool:
    """Whether the ``Signature`` field is the HMAC of this request, compared in constant time."""
    match = _SIGNATURE.fullmatch(facts.signature)
    if match is None or match[1] != parsed.label:
        return False
    try:
        given = b64decode(match[2], validate=True)
    except binascii.Error:
        return False
    base = signature_base(facts, parsed.components, parsed.parameters)
    return hmac.compare_digest(hmac.digest(secret, base, "sha256"), given)


def signature_base(facts: RequestFacts, components: tuple[str, ...], parameters: str) -> bytes:
    """The bytes under the HMAC (RFC 9421, 2.5). Raises Unauthorised for text that could not stand
    in one line of it."""
    key = facts.idempotency_key
    target = f"{facts.method} {facts.path}?{facts.query}"
    if _TARGET.fullmatch(target) is None or (key is not None and _KEY.fullmatch(key) is None):
        raise _bad_input("method, path, query or idempotency key holds what cannot be signed")
    if components in (ALWAYS_COVERED, _SENT_AS):
        keyed = f'"idempotency-key": {key}\n' if components == _SENT_AS else ""
        return (
            f'"@method": {facts.method}\n"@path": {facts.path}\n"@query": ?{facts.query}\n'
            f'"content-digest": {facts.content_digest}\n{keyed}"@signature-params": {parameters}'
        ).encode()
    values = {
        "@method": facts.method,
        "@path": facts.path,
        "@query": f"?{facts.query}",
        "content-digest": facts.content_digest,
        "idempotency-key": key or "",
    }
    lines = [f'"{name}": {values[name]}' for name in components]
    return "\n".join([*lines, f'"@signature-params": {parameters}']).encode()


def _bad_input(why: str) -> Unauthorised:
    return Unauthorised(
        "auth.bad_signature_input",
        f"The signature's description cannot be used: {why}.",
        "Sign as the API guide shows; the caller's library may need other settings.",
    )
