"""Requests signed as RFC 9421 says: fixed examples, and whatever is altered is refused."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caiwutong.identity import http_signatures as http
from caiwutong.identity.http_signatures import RequestFacts
from caiwutong.kernel.errors import Unauthorised

SECRET = base64.b64decode(
    "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ=="
)
"""``test-shared-secret`` of RFC 9421, B.1.5."""
KEY_ID = "demo.0123456789abcdef0123456789abcdef"
BODY = b'{"hello": "world"}'
CREATED = 1618884473

GOLDEN_INPUT = (
    'sig1=("@method" "@path" "@query" "content-digest" "idempotency-key");created=1618884473;'
    f'expires=1618884773;nonce="b3k2pp5k7z-50gnwp.yemd";keyid="{KEY_ID}";alg="hmac-sha256"'
)
GOLDEN_BASE = f"""\
"@method": POST
"@path": /v1/payments
"@query": ?dry_run=true&x=%2F
"content-digest": sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:
"idempotency-key": INV-2026-0417
"@signature-params": ("@method" "@path" "@query" "content-digest" "idempotency-key");\
created=1618884473;expires=1618884773;nonce="b3k2pp5k7z-50gnwp.yemd";keyid="{KEY_ID}";\
alg="hmac-sha256\""""


def signed(**more: Any) -> RequestFacts:
    request: dict[str, Any] = {
        "method": "POST",
        "path": "/v1/payments",
        "query": "dry_run=true&x=%2F",
        "body": BODY,
        "idempotency_key": "INV-2026-0417",
    } | {k: v for k, v in more.items() if k != "nonce" and k != "created"}
    fields = http.sign(
        SECRET,
        KEY_ID,
        nonce=more.get("nonce", "b3k2pp5k7z-50gnwp.yemd"),
        created=more.get("created", CREATED),
        **request,
    )
    return RequestFacts(
        **request,
        content_digest=fields["Content-Digest"],
        signature_input=fields["Signature-Input"],
        signature=fields["Signature"],
    )


def accepted(facts: RequestFacts, secret: bytes = SECRET, now_s: float = CREATED + 1) -> bool:
    parsed = http.parse(facts.signature_input)
    http.check_time(parsed, now_s)
    http.check_coverage(parsed, facts)
    return http.fits(secret, parsed, facts)


def refused(facts: RequestFacts, now_s: float = CREATED + 1) -> str:
    try:
        return "" if accepted(facts, now_s=now_s) else "auth.bad_signature"
    except Unauthorised as error:
        return error.code


def test_the_digest_is_the_one_rfc_9530_prints() -> None:
    # RFC 9530, appendix D: the body {"hello": "world"}.
    assert http.content_digest(BODY) == "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:"


def test_a_fixed_request_has_a_fixed_signature() -> None:
    facts = signed()
    assert facts.signature_input == GOLDEN_INPUT
    parsed = http.parse(facts.signature_input)
    assert http.signature_base(facts, parsed.components, parsed.parameters).decode() == GOLDEN_BASE
    by_hand = hmac.new(SECRET, GOLDEN_BASE.encode(), hashlib.sha256).digest()
    assert facts.signature == f"sig1=:{base64.b64encode(by_hand).decode()}:"
    assert facts.signature == "sig1=:uwTtVorKCSBhqj7KH4duxBw1qYPhRWDTR63QO86VKx0=:"
    assert accepted(facts)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"method": "PUT"}, "auth.bad_signature"),
        ({"path": "/v1/payment"}, "auth.bad_signature"),
        ({"path": "/v1/payments/"}, "auth.bad_signature"),
        ({"query": "dry_run=true&x=/"}, "auth.bad_signature"),
        ({"query": ""}, "auth.bad_signature"),
        ({"body": BODY + b" "}, "auth.bad_digest"),
        ({"content_digest": ""}, "auth.bad_digest"),
        ({"content_digest": http.content_digest(b"other")}, "auth.bad_digest"),
        ({"idempotency_key": "INV-2026-0418"}, "auth.bad_signature"),
        ({"idempotency_key": None}, "auth.not_covered"),
        ({"signature": ""}, "auth.bad_signature"),
        ({"signature": "sig1=:AAAA:"}, "auth.bad_signature"),
    ],
)
def test_whatever_is_altered_on_the_way_is_refused(change: dict[str, Any], code: str) -> None:
    assert refused(msgspec.structs.replace(signed(), **change)) == code


def test_body_and_digest_altered_together_are_refused() -> None:
    other = b'{"hello": "mallory"}'
    facts = msgspec.structs.replace(signed(), body=other, content_digest=http.content_digest(other))
    assert refused(facts) == "auth.bad_signature"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("created=1618884473", "created=1618884474"),
        ("expires=1618884773", "expires=1618884772"),
        ("b3k2pp5k7z", "b3k2pp5k7y"),
        ("demo.0", "demo.1"),
        ("sig1=", "sig2="),
        ('"@method" "@path"', '"@path" "@method"'),
        (';nonce="b3k2pp5k7z-50gnwp.yemd"', ""),
    ],
)
def test_altered_parameters_are_refused(old: str, new: str) -> None:
    facts = signed()
    assert old in facts.signature_input
    changed = facts.signature_input.replace(old, new)
    assert refused(msgspec.structs.replace(facts, signature_input=changed)) == "auth.bad_signature"


def test_a_key_moved_between_requests_must_be_covered() -> None:
    facts = signed(idempotency_key=None)
    assert accepted(facts)
    added = msgspec.structs.replace(facts, idempotency_key="INV-1")
    assert refused(added) == "auth.not_covered"


def test_components_and_parameters_may_come_in_another_order() -> None:
    parameters = (
        '("content-digest" "@query" "@path" "@method");keyid="k.1";alg="hmac-sha256";'
        f"expires={CREATED + 60};created={CREATED}"
    )
    digest = http.content_digest(b"")
    base = (
        f'"content-digest": {digest}\n"@query": ?\n"@path": /v1/events\n"@method": GET\n'
        f'"@signature-params": {parameters}'
    )
    mac = base64.b64encode(hmac.digest(SECRET, base.encode(), "sha256")).decode()
    facts = RequestFacts(
        method="GET",
        path="/v1/events",
        content_digest=digest,
        signature_input=f"my-sig={parameters}",
        signature=f"my-sig=:{mac}:",
    )
    assert accepted(facts)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("sig1=", ""),
        ("sig1=", "sig1=sig1="),
        ("sig1=", "SIG1="),
        ("hmac-sha256", "rsa-pss-sha512"),
        (';alg="hmac-sha256"', ""),
        ("created=1618884473;", ""),
        ("expires=1618884773;", ""),
        (f';keyid="{KEY_ID}"', ""),
        ("created=1618884473", 'created="1618884473"'),
        ("created=1618884473", "created=-5"),
        ("created=1618884473", "created=1618884473;created=1618884473"),
        ("created=1618884473", "created=9999999999999999999"),
        (";alg", " ;alg"),
        (";alg", ';tag="x";alg'),
        ('"@path"', '"@path";sf'),
        ('"@path" ', '"@path"'),
        ('"@path"', '"@path" "@path" "@path" "@path" "@path" "@path" "@path"'),
        ('("@method"', '( "@method"'),
        ("INPUT", "INPUT"),
    ],
)
def test_a_description_that_is_not_understood_is_refused(old: str, new: str) -> None:
    text = signed().signature_input if old != "INPUT" else "x" * 2000
    with pytest.raises(Unauthorised) as error:
        http.parse(text.replace(old, new, 1))
    assert error.value.code == "auth.bad_signature_input"
    assert error.value.status == 401


@pytest.mark.parametrize(
    "components",
    [
        '"@method"',
        '"@method" "@path" "@query"',
        '"@method" "@path" "@query" "@query" "content-digest"',
        '"@method" "@path" "@query" "content-digest" "idempotency-key" "host"',
        '"@method" "@path" "@query" "content-digest" "host"',
    ],
)
def test_a_signature_over_less_or_more_is_refused(components: str) -> None:
    text = GOLDEN_INPUT.replace(
        '"@method" "@path" "@query" "content-digest" "idempotency-key"', components
    )
    facts = msgspec.structs.replace(signed(), signature_input=text)
    assert refused(facts) == "auth.not_covered"


@pytest.mark.parametrize(
    ("now_s", "code"),
    [
        (CREATED - 31, "auth.not_yet_valid"),
        (CREATED - 29, ""),
        (CREATED + 300, ""),
        (CREATED + 329, ""),
        (CREATED + 331, "auth.expired"),
    ],
)
def test_a_signature_has_its_time_and_clocks_may_be_off_a_little(now_s: float, code: str) -> None:
    assert refused(signed(), now_s) == code


@pytest.mark.parametrize("expires", [CREATED, CREATED - 1, CREATED + 301])
def test_a_signature_lives_five_minutes_at_most(expires: int) -> None:
    text = GOLDEN_INPUT.replace("expires=1618884773", f"expires={expires}")
    facts = msgspec.structs.replace(signed(), signature_input=text)
    assert refused(facts) == "auth.bad_lifetime"


@pytest.mark.parametrize(
    "change",
    [
        {"method": 'GET\n"@path": /x'},
        {"path": "/v1\n/payments"},
        {"path": "v1/payments"},
        {"path": "/v1/支付"},
        {"query": "a=1\n2"},
        {"idempotency_key": "a\nb"},
        {"idempotency_key": " a"},
        {"idempotency_key": ""},
    ],
)
def test_text_that_could_forge_a_line_is_refused(change: dict[str, Any]) -> None:
    facts = msgspec.structs.replace(signed(), **change)
    assert refused(facts) == "auth.bad_signature_input"


def test_another_secret_does_not_fit() -> None:
    assert not accepted(signed(), secret=b"another secret")


_printable = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=40)


@given(
    method=st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE"]),
    path=_printable.map(lambda t: "/" + t.replace("?", "")),
    query=_printable,
    body=st.binary(max_size=200),
    key=st.none() | _printable.filter(bool),
)
def test_what_is_signed_is_accepted(
    method: str, path: str, query: str, body: bytes, key: str | None
) -> None:
    facts = signed(method=method, path=path, query=query, body=body, idempotency_key=key)
    assert accepted(facts)


@given(st.text(max_size=300))
def test_whatever_text_comes_only_unauthorised_escapes(text: str) -> None:
    facts = msgspec.structs.replace(signed(), signature_input=text, signature=text)
    assert refused(facts) != ""
