"""Webhook decisions without sockets: signatures, patience, addresses."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import timedelta
from ipaddress import ip_address, ip_network

import pytest

from caiwutong.erp.feed import wanted
from caiwutong.erp.webhooks.model import Patience, Webhook, WebhookState
from caiwutong.erp.webhooks.rules import (
    AddressPolicy,
    Answer,
    body_of,
    check_kinds,
    check_url,
    secret_text,
    signature,
    stand_after,
    wait_before,
)
from caiwutong.kernel.clock import ManualClock, SystemRandomness
from caiwutong.kernel.errors import Refused
from caiwutong.kernel.ids import Ids
from support.feeds import NOW, event

PATIENCE = Patience()


def endpoint(**changes: object) -> Webhook:
    words: dict[str, object] = {
        "webhook_id": Ids(ManualClock(NOW), SystemRandomness()).new(),
        "url": "https://erp.example/hook",
        "kinds": (),
        "description": "",
        "state": WebhookState.ACTIVE,
        "version": 1,
        "created_at": NOW,
        "delivered_seq": 10,
        "latest_seq": 20,
    }
    return Webhook(**{**words, **changes})  # type: ignore[arg-type]


def test_a_receiver_following_the_standard_can_check_our_signature():
    secret = bytes(range(32))
    text = secret_text(secret)
    body = body_of(event(7))
    header = signature([secret], "evt_1", 1772413200, body)
    # As standardwebhooks.com tells receivers to do it.
    key = base64.b64decode(text.removeprefix("whsec_"))
    expected = hmac.new(key, b"evt_1.1772413200." + body, hashlib.sha256).digest()
    assert header == "v1," + base64.b64encode(expected).decode()


def test_the_signature_agrees_with_the_published_example():
    # The example in the Standard Webhooks libraries' own tests.
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    header = signature(
        [secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert header == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_two_secrets_give_two_marks():
    header = signature([b"new" * 8, b"old" * 8], "evt_1", 1, b"{}")
    assert [mark[:3] for mark in header.split(" ")] == ["v1,", "v1,"]


def test_the_wait_doubles_is_capped_and_spread():
    assert wait_before(1, PATIENCE, 0.5) == timedelta(seconds=5)
    assert wait_before(4, PATIENCE, 0.5) == timedelta(seconds=40)
    assert wait_before(99, PATIENCE, 0.5) == timedelta(hours=4)
    assert wait_before(1, PATIENCE, 0.0) == timedelta(seconds=4)


def test_a_failure_counts_from_the_first_of_its_row():
    first = stand_after(endpoint(), 10, Answer(500, "answered 500"), NOW, PATIENCE, 0.5)
    assert (first.attempts, first.failing_since) == (1, NOW)
    assert first.due_at == NOW + timedelta(seconds=5)
    later = NOW + timedelta(hours=1)
    failing = endpoint(attempts=1, failing_since=NOW)
    again = stand_after(failing, 10, Answer(None, "no answer"), later, PATIENCE, 0.5)
    assert (again.attempts, again.failing_since) == (2, NOW)


def test_progress_before_a_failure_starts_the_count_anew():
    failing = endpoint(attempts=7, failing_since=NOW - timedelta(days=4))
    after = stand_after(failing, 12, Answer(500), NOW, PATIENCE, 0.5)
    assert (after.attempts, after.failing_since, after.delivered_seq) == (1, NOW, 12)


def test_failing_for_days_or_gone_disables():
    failing = endpoint(attempts=40, failing_since=NOW - timedelta(days=5))
    tired = stand_after(failing, 10, Answer(500), NOW, PATIENCE, 0.5)
    gone = stand_after(endpoint(), 10, Answer(410), NOW, PATIENCE, 0.5)
    assert tired.state is gone.state is WebhookState.DISABLED
    assert tired.due_at is gone.due_at is None


def test_retry_after_is_honoured_within_our_patience():
    hour, year = timedelta(hours=1), timedelta(days=365)
    polite = stand_after(endpoint(), 10, Answer(429, "", hour), NOW, PATIENCE, 0.5)
    absurd = stand_after(endpoint(), 10, Answer(429, "", year), NOW, PATIENCE, 0.5)
    assert polite.due_at == NOW + hour
    assert absurd.due_at == NOW + timedelta(hours=4)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://erp.example/x",
        "https://",
        "erp.example",
        "https://user:word@erp.example/",
        "https://erp.example/#here",
        "https://erp.example:0/",
        "https://erp.example:99999/",
        "https://erp.example/\r\nx: y",
        "http://erp.example/plain",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://10.1.2.3/",
        "https://169.254.169.254/latest/meta-data",
        "https://192.168.0.1/",
        "https://0.0.0.0/",
        "https://100.64.0.1/",
        "https://[fe80::1]/",
        "https://224.0.0.1/",
        "https://" + "a" * 2048,
    ],
)
def test_addresses_that_are_refused(url: str):
    with pytest.raises(Refused) as refused:
        check_url(url, AddressPolicy())
    assert refused.value.code == "webhook.bad_url"


def test_addresses_that_are_taken():
    check_url("https://erp.example/hook?x=1", AddressPolicy())
    check_url("https://8.8.8.8:8443/hook", AddressPolicy())
    check_url("http://127.0.0.1:8000/", AddressPolicy(loopback=True))
    check_url("http://10.1.2.3/", AddressPolicy(networks=(ip_network("10.0.0.0/8"),)))


def test_a_named_network_opens_only_itself():
    policy = AddressPolicy(networks=(ip_network("10.0.0.0/8"),))
    assert policy.allows(ip_address("10.9.9.9"))
    assert policy.allows(ip_address("::ffff:10.9.9.9"))
    assert not policy.allows(ip_address("192.168.1.1"))
    assert not policy.allows(ip_address("127.0.0.1"))


def test_filters_are_kinds_or_prefixes():
    assert wanted((), "payment.created")
    assert wanted(("payment.*",), "payment.created")
    assert not wanted(("payment.completed",), "payment.created")
    for bad in ("", "pay*ment", "付款", "a" * 65):
        with pytest.raises(Refused):
            check_kinds([bad])
