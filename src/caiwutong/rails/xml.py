"""XML from outside, read without trusting it: one hardened parser for every rail and every import.

Owns: parsing under caps (size, depth, attributes), character sets by declaration (UTF-8, GBK,
GB2312, GB18030), checking against our own schemas. Promises: no document type, no entity, no
network, no file access; a comment or processing instruction can never split a value; a hostile
document is refused with ``BadMessage`` in well under a second. No value of the document is ever
quoted in an error, because values here are accounts and names.
Read next: ``rails/cnaps/codec.py``, which uses it.
"""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any, cast

import lxml.etree

from caiwutong.rails.contract import BadMessage

Element = Any
"""An lxml element; lxml ships no types."""
etree = cast(Any, lxml.etree)  # pyright: ignore[reportUnknownMemberType]

MAX_BYTES = 1_000_000
"""CNAPS2 caps a message body just below this many bytes; imports may ask for more."""
MAX_DEPTH = 32
MAX_ATTRIBUTES = 64
MAX_ATTRIBUTE_LENGTH = 4096

_DECLARATION = re.compile(
    rb"""<\?xml\s[^<>?]{0,200}?encoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']"""
)
_PROLOG = re.compile(rb"<\?xml\s")
_CHARACTER_SETS = {"utf-8": "", "utf8": "", "us-ascii": "", "ascii": ""} | dict.fromkeys(
    ("gbk", "gb2312", "gb18030", "cp936"), "gb18030"
)
_BOM = b"\xef\xbb\xbf"
_CURE = "Ask the sender for plain XML 1.0: elements, attributes and text only."


def parse(
    raw: bytes,
    *,
    max_bytes: int = MAX_BYTES,
    max_depth: int = MAX_DEPTH,
    comments_between: bool = False,
) -> Element:
    """The root element of a well-formed, harmless document.

    ``comments_between`` is for files made by people: comments and processing instructions that
    stand between elements are dropped; beside text, where they could split a value, they are
    refused all the same. Messages of a rail never need them. Raises BadMessage."""
    text = _utf8(raw, max_bytes)
    _refuse_markup(text, comments_between)
    root = _tree(text)
    if comments_between:
        _drop_comments(root)
    _refuse_shape(root, len(text), max_depth)
    return root


def read(raw: bytes, schema: Schema, *, max_bytes: int = MAX_BYTES) -> Element:
    """The root element of a harmless document that fits our schema. The schema knows every
    element and attribute by name, so it stands in for the caps on depth and attributes. Raises
    BadMessage."""
    text = _utf8(raw, max_bytes)
    _refuse_markup(text, comments_between=False)
    root = _tree(text)
    schema.check(root)
    return root


class Schema:
    """One of our own XSD files, compiled once per thread (lxml keeps the error log on it)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()

    def check(self, root: Element) -> None:
        """Return if the document fits the schema; raise BadMessage naming the place if not."""
        compiled = self._compiled()
        if compiled.validate(root):
            return
        error = compiled.error_log.last_error
        place = str(error.path or "/") if error is not None else "/"
        rule = str(error.type_name).removeprefix("SCHEMAV_") if error is not None else ""
        raise BadMessage(
            "xml.not_in_schema",
            f"{place} does not fit {self._path.stem} ({rule}).",
            "Compare the message with the schema of that name.",
            place=place,
        )

    def _compiled(self) -> Any:
        compiled = getattr(self._local, "schema", None)
        if compiled is None:
            compiled = etree.XMLSchema(file=str(self._path))
            self._local.schema = compiled
        return compiled


def escape(text: str) -> str:
    """Text as it stands between tags or inside a double-quoted attribute."""
    if "&" in text:
        text = text.replace("&", "&amp;")
    if "<" in text:
        text = text.replace("<", "&lt;")
    if ">" in text:
        text = text.replace(">", "&gt;")
    return text.replace('"', "&quot;") if '"' in text else text


_local = threading.local()


def _parser() -> Any:
    parser = getattr(_local, "parser", None)
    if parser is None:
        parser = etree.XMLParser(
            encoding="utf-8",
            resolve_entities=False,
            no_network=True,
            load_dtd=False,
            dtd_validation=False,
            attribute_defaults=False,
            huge_tree=False,
            recover=False,
            strip_cdata=True,
            remove_comments=False,
            remove_pis=False,
            collect_ids=False,
        )
        _local.parser = parser
    return parser


def _tree(text: bytes) -> Element:
    try:
        return etree.fromstring(text, _parser())
    except (etree.XMLSyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 0
        raise BadMessage("xml.malformed", f"The XML breaks off at line {line}.", _CURE) from None


def _utf8(raw: bytes, max_bytes: int) -> bytes:
    """The document in UTF-8, whatever of the known character sets it declares."""
    if len(raw) > max_bytes:
        raise BadMessage(
            "xml.too_large",
            f"The document has {len(raw)} bytes; {max_bytes} are read at most.",
            "Split it into smaller messages.",
        )
    body = raw.removeprefix(_BOM)
    declared = _DECLARATION.match(body)
    name = declared.group(1).decode().lower() if declared else "utf-8"
    codec = _CHARACTER_SETS.get(name)
    if codec is None or b"\x00" in body:
        raise BadMessage(
            "xml.character_set",
            f"The character set {name[:20]!r} is not read here.",
            "Send UTF-8, GBK or GB18030 and declare it.",
        )
    if not codec:
        return body
    try:
        return body.decode(codec).encode()
    except UnicodeDecodeError as error:
        raise BadMessage(
            "xml.character_set",
            f"The bytes at {error.start} are not {name}.",
            "Declare the character set the file was really written in.",
        ) from None


def _refuse_markup(text: bytes, comments_between: bool) -> None:
    """Look at the bytes before any parser does: ``<`` always opens markup, and in UTF-8 it is
    never part of another character."""
    at = text.find(b"<!")
    while at >= 0:
        if text.startswith(b"<!--", at):
            if not comments_between:
                raise BadMessage("xml.comment", f"There is a comment at byte {at}.", _CURE)
        elif text.startswith(b"<![CDATA[", at):
            raise BadMessage("xml.cdata", f"There is a CDATA section at byte {at}.", _CURE)
        else:
            raise BadMessage(
                "xml.document_type", f"There is a document type or entity at byte {at}.", _CURE
            )
        at = text.find(b"<!", at + 2)
    if not comments_between and text.find(b"<?", 2 if _PROLOG.match(text) else 0) >= 0:
        raise BadMessage("xml.instruction", "There is a processing instruction.", _CURE)


_SPLITS_A_VALUE = etree.XPath(
    "boolean(//comment()[../text()[normalize-space()]]"
    " | //processing-instruction()[../text()[normalize-space()]])"
)
_HUGE_ATTRIBUTE = etree.XPath(
    f"boolean(//@*[string-length() > {MAX_ATTRIBUTE_LENGTH}] | //*[count(@*) > {MAX_ATTRIBUTES}])"
)
_TOO_DEEP: dict[int, Any] = {}


def _drop_comments(root: Element) -> None:
    if _SPLITS_A_VALUE(root):
        raise BadMessage("xml.comment", "A comment stands inside a value.", _CURE)
    etree.strip_tags(root, etree.Comment, etree.ProcessingInstruction)


def _refuse_shape(root: Element, size: int, max_depth: int) -> None:
    if max_depth not in _TOO_DEEP:
        _TOO_DEEP[max_depth] = etree.XPath("boolean(" + "/*" * (max_depth + 1) + ")")
    if _TOO_DEEP[max_depth](root):
        raise BadMessage("xml.too_deep", f"Elements nest deeper than {max_depth}.", _CURE)
    # A document too small to hold one is spared the walk over every attribute.
    if size > MAX_ATTRIBUTES * len('a=""') and _HUGE_ATTRIBUTE(root):
        raise BadMessage("xml.huge_attribute", "Attributes are too many or too long.", _CURE)
