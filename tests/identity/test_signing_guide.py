"""The guide's shell example, run as it is printed: the house accepts what it sends."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from caiwutong.identity import http_signatures as http
from caiwutong.identity.http_signatures import RequestFacts

GUIDE = Path(__file__).parents[2] / "docs" / "signing.md"
SECRET = bytes(range(200, 232))
"""Its base64url holds ``-`` and ``_``."""
SETTING = """
KEY_ID=demo.0123456789abcdef0123456789abcdef
SECRET={secret}
ADDRESS=http://127.0.0.1
curl() {{ for argument in "$@"; do printf '%s\\n' "$argument"; done; }}
"""


@pytest.mark.skipif(
    not all(shutil.which(tool) for tool in ("bash", "openssl", "base64", "od")),
    reason="the example needs bash and openssl",
)
def test_the_shell_example_of_the_guide_is_accepted() -> None:
    example = re.search(r"```bash\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert example is not None
    secret = base64.urlsafe_b64encode(SECRET).decode().rstrip("=")
    assert {"-", "_"} & set(secret)
    script = SETTING.format(secret=secret) + example[1]
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    said = done.stdout.splitlines()
    sent = dict(line.split(": ", 1) for line in said if re.match(r"[A-Z][A-Za-z-]+: ", line))
    facts = RequestFacts(
        method="POST",
        path=said[0].removeprefix("http://127.0.0.1"),
        body=said[said.index("-d") + 1].encode(),
        content_digest=sent["Content-Digest"],
        signature_input=sent["Signature-Input"],
        signature=sent["Signature"],
        idempotency_key=sent["Idempotency-Key"],
    )
    parsed = http.parse(facts.signature_input)
    http.check_time(parsed, time.time())
    http.check_coverage(parsed, facts)
    assert http.fits(SECRET, parsed, facts)


def test_the_signature_base_of_the_guide_is_ours() -> None:
    printed = re.search(r'```\n("@method".*?)\n```', GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert printed is not None
    fields = http.sign(
        b"any",
        "demo.0123456789abcdef0123456789abcdef",
        method="POST",
        path="/v1/payments",
        query="dry_run=true",
        body=b'{"hello": "world"}',
        idempotency_key="INV-2026-0417",
        created=1618884473,
    )
    parameters = fields["Signature-Input"].removeprefix("sig1=")
    parsed = http.parse(fields["Signature-Input"])
    facts = RequestFacts(
        method="POST",
        path="/v1/payments",
        query="dry_run=true",
        content_digest=fields["Content-Digest"],
        idempotency_key="INV-2026-0417",
    )
    assert http.signature_base(facts, parsed.components, parameters).decode() == printed[1]
