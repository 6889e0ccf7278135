"""Reading XML from strangers: harmless documents are read, hostile ones refused, and quickly."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caiwutong.rails import xml
from caiwutong.rails.contract import BadMessage

LAUGHS = (
    b'<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "ha">'
    + b"".join(b'<!ENTITY %c "&%c;&%c;&%c;&%c;">' % (n + 1, n, n, n, n) for n in range(97, 120))
    + b"]><a>&x;</a>"
)
HOSTILE = {
    "external entity": (
        b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
        "xml.document_type",
    ),
    "remote schema": (b'<!DOCTYPE a SYSTEM "http://127.0.0.1/x.dtd"><a/>', "xml.document_type"),
    "billion laughs": (LAUGHS, "xml.document_type"),
    "entity never declared": (b"<a>&x;</a>", "xml.malformed"),
    "deep nesting, open": (b"<a>" * 300_000, "xml.malformed"),
    "deep nesting, closed": (b"<a>" * 200 + b"</a>" * 200, "xml.too_deep"),
    "comment inside an amount": (b"<a>1<!-- -->234.56</a>", "xml.comment"),
    "instruction inside an amount": (b"<a>1<?x?>234.56</a>", "xml.instruction"),
    "instruction before everything": (b"<?xml-stylesheet href='x'?><a/>", "xml.instruction"),
    "CDATA": (b"<a><![CDATA[1]]></a>", "xml.cdata"),
    "huge attribute": (b'<a x="' + b"y" * 900_000 + b'"/>', "xml.huge_attribute"),
    "many attributes": (
        b"<a " + b" ".join(b'x%d=""' % n for n in range(90_000)) + b"/>",
        "xml.huge_attribute",
    ),
    "too large": (b"<a>" + b" " * 1_000_000 + b"</a>", "xml.too_large"),
    "UTF-16": ("<?xml version='1.0' encoding='UTF-16'?><a/>".encode("utf-16"), "xml.character_set"),
    "EBCDIC": (b"<?xml version='1.0' encoding='cp037'?><a/>", "xml.character_set"),
    "zero byte": (b"<a>\x00</a>", "xml.character_set"),
    "wrongly declared": (
        b"<?xml version='1.0' encoding='GBK'?><a>\xff\xff</a>",
        "xml.character_set",
    ),
    "not UTF-8": (b"<a>\xff</a>", "xml.malformed"),
    "two roots": (b"<a/><a/>", "xml.malformed"),
    "nothing": (b"", "xml.malformed"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_document_is_refused_within_a_second(name: str) -> None:
    raw, code = HOSTILE[name]
    begun = time.perf_counter()
    with pytest.raises(BadMessage) as caught:
        xml.parse(raw)
    assert caught.value.code == code
    assert time.perf_counter() - begun < 1


@pytest.mark.parametrize("name", ["UTF-8", "GBK", "gb2312", "GB18030", "gb18030"])
def test_chinese_is_read_by_the_declared_character_set(name: str) -> None:
    raw = f'<?xml version="1.0" encoding="{name}"?><户名>财务通（上海）</户名>'.encode(name)
    root = xml.parse(raw)
    assert (root.tag, root.text) == ("户名", "财务通（上海）")


def test_gb18030_reaches_beyond_gbk() -> None:
    raw = '<?xml version="1.0" encoding="GB18030"?><a>𠀀𬭯€</a>'.encode("gb18030")
    assert xml.parse(raw).text == "𠀀𬭯€"


def test_a_byte_order_mark_is_read_over() -> None:
    assert xml.parse(b"\xef\xbb\xbf<a>1</a>").text == "1"


def test_a_persons_file_may_have_comments_between_elements_but_never_inside_a_value() -> None:
    root = xml.parse(
        b"<?xml version='1.0'?><!-- by hand --><a>\n <!-- first --><b>1</b><?hint x?></a>",
        comments_between=True,
    )
    assert [child.tag for child in root] == ["b"]
    for raw in (b"<a>1<!-- -->2</a>", b"<a><!-- -->12</a>", b"<a>1<?x?>2</a>"):
        with pytest.raises(BadMessage, match=r"xml\.comment"):
            xml.parse(raw, comments_between=True)


@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"))))
def test_escaped_text_is_read_back(text: str) -> None:
    if "\ufffe" in text or "\uffff" in text:
        return
    root = xml.parse(f'<a b="{xml.escape(text)}">{xml.escape(text)}</a>'.encode())
    assert (root.text or "", root.get("b")) == (text, text)


@given(st.binary(max_size=200))
def test_nothing_but_bad_message_escapes(noise: bytes) -> None:
    for raw in (noise, b"<a>" + noise + b"</a>", b'<?xml version="1.0" encoding="gbk"?>' + noise):
        for between in (False, True):
            try:
                xml.parse(raw, comments_between=between)
            except BadMessage as error:
                assert error.code.startswith("xml.")
