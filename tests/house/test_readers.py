"""What readers are told to do works as it is printed: the example of the API page, and every
command the pages name."""

from __future__ import annotations

import base64
import io
import json
import re
import time
import urllib.request
from typing import Any

import msgspec
import pytest

from caiwutong.cli.main import parser
from caiwutong.identity import http_signatures as http
from caiwutong.identity.http_signatures import RequestFacts
from caiwutong.kernel.order import PaymentOrder
from house.tree import ROOT

SECRET = bytes(range(200, 232))
READMES = ["README.md", "README.zh-CN.md"]
PAGES = [*READMES, "docs/api.md", "docs/operations.md"]


def _read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def test_the_example_of_the_api_page_is_accepted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    example = re.search(r"```python\n(.*?)```", _read("docs/api.md"), re.DOTALL)
    assert example is not None and example[1].count("\n") <= 25
    sent: list[urllib.request.Request] = []

    class Answer(io.BytesIO):
        status = 202

    def urlopen(request: urllib.request.Request) -> Answer:
        sent.append(request)
        return Answer(b'{"state": "validated"}')

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    monkeypatch.setenv("ADDRESS", "http://127.0.0.1:8080")
    monkeypatch.setenv("KEY_ID", "demo.0123456789abcdef0123456789abcdef")
    monkeypatch.setenv("SECRET", base64.urlsafe_b64encode(SECRET).decode().rstrip("="))
    monkeypatch.setenv("BANK_ACCOUNT", "0199f0a2-7c1e-7000-8000-5f1d2c3b4a59")
    exec(compile(example[1], "docs/api.md", "exec"), {})  # noqa: S102 -- our own page
    assert "202" in capsys.readouterr().out

    (request,) = sent
    body = request.data
    assert isinstance(body, bytes)
    headers = {name.lower(): value for name, value in request.header_items()}
    facts = RequestFacts(
        method=request.get_method(),
        path=request.selector,
        body=body,
        content_digest=headers["content-digest"],
        signature_input=headers["signature-input"],
        signature=headers["signature"],
        idempotency_key=headers["idempotency-key"],
    )
    parsed = http.parse(facts.signature_input)
    http.check_time(parsed, time.time())
    http.check_coverage(parsed, facts)
    assert http.fits(SECRET, parsed, facts)
    order = msgspec.json.decode(body, type=PaymentOrder)
    assert order.amount_fen == json.loads(body)["amount_fen"] > 0


def _commands() -> set[str]:
    subparsers: Any = next(a for a in parser()._actions if getattr(a, "choices", None))
    return set(subparsers.choices)


@pytest.mark.parametrize("page", PAGES)
def test_every_command_a_page_names_is_there(page: str) -> None:
    named = set(re.findall(r"(?:`|bin/)caiwutong ([a-z-]+)", _read(page)))
    assert named <= _commands()
    targets = set(re.findall(r"^([a-z-]+):", _read("Makefile"), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)", _read(page))) <= targets


@pytest.mark.parametrize("page", PAGES)
def test_every_setting_a_page_names_is_read(page: str) -> None:
    settings = (ROOT / "src" / "caiwutong" / "settings.py").read_text(encoding="utf-8")
    for name in re.findall(r"CAIWUTONG_([A-Z_]+)", _read(page)):
        assert f"{{ENV}}{name}" in settings


def test_both_readmes_say_the_same() -> None:
    english, chinese = (_read(page) for page in READMES)
    assert max(english.count("\n"), chinese.count("\n")) < 200

    def shape(text: str) -> list[str]:
        """Headings by depth, table rows, commands and links, in order; comments left out."""
        marks = re.findall(r"^(#+ |\|(?=[^-])|\d\. |- |post /\S+)", text, re.MULTILINE)
        return [mark for mark in marks if mark]

    assert shape(english) == shape(chinese)

    def links(text: str) -> set[str]:
        return {link for link in re.findall(r"\]\(([^)]+)\)", text) if "README" not in link}

    assert links(english) == links(chinese)


def test_the_glossary_leads_to_files_that_exist() -> None:
    for file in re.findall(r"`([a-z_/]+\.py)`", _read("docs/glossary.md")):
        assert (ROOT / "src" / "caiwutong" / file).exists(), file
