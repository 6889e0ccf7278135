"""The form around every document, the signature over its exact bytes, and the character set.

A request is a form ``Version, TransCode, BankCode, GroupCIS, ID, PackageID, Sign, reqData``; an
answer and a notice are ``Sign, reqData``. ``reqData`` is base64 of the document in GBK or GB18030,
as its XML declaration says; ``Sign`` is SM2 with SM3 (raw r||s, base64) over exactly those bytes.
The fields are known from public texts (M). That ``Sign`` stands beside the data is **own**: at the
real bank a program of the bank on the enterprise's machine (ports 448 and 449) holds the client
certificate, signs and encrypts; here the hub signs by itself with the key of that certificate.

Pure, and the same for both sides. Read next: ``codec.py``.
"""

from __future__ import annotations

import base64
from urllib.parse import parse_qsl, urlencode

import msgspec

from caiwutong.kernel.errors import Refused
from caiwutong.rails.bank_direct.fields import exact_base64
from caiwutong.rails.bank_direct.line import MAX_BYTES
from caiwutong.rails.bank_direct.signing import Signer, Verifier, check_signature, signature_of
from caiwutong.rails.bank_direct.styles.icbc.profile import GB18030, GBK, ICBC_CMS
from caiwutong.rails.bank_direct.words import bad

_REQUEST = ("Version", "TransCode", "BankCode", "GroupCIS", "ID", "PackageID", "Sign", "reqData")
_ANSWER = ("Sign", "reqData")


class Form(msgspec.Struct, frozen=True):
    """The plain fields of a request; the signed document says the same."""

    transaction: str
    customer: str
    user: str
    package: str


def sealed(document: bytes, signer: Signer, form: Form | None = None) -> bytes:
    """The signed form of this document: a request where ``form`` is given, else an answer."""
    fields = {"Sign": signature_of(document, signer), "reqData": base64.b64encode(document)}
    if form is None:
        return urlencode(fields).encode()
    plain = {
        "Version": ICBC_CMS.version,
        "TransCode": form.transaction,
        "BankCode": ICBC_CMS.bank,
        "GroupCIS": form.customer,
        "ID": form.user,
        "PackageID": form.package,
    }
    return urlencode({**plain, **fields}).encode()


def opened(raw: bytes, verifier: Verifier) -> bytes:
    """The document in an answer or notice signed by the bank. Raises BadMessage."""
    return _document(_fields(raw, _ANSWER), verifier)


def opened_request(raw: bytes, verifier: Verifier) -> tuple[Form, bytes]:
    """The form of a request and its document. Raises BadMessage."""
    fields = _fields(raw, _REQUEST)
    form = Form(fields["TransCode"], fields["GroupCIS"], fields["ID"], fields["PackageID"])
    return form, _document(fields, verifier)


def encoded(text: str, charset: str) -> bytes:
    """Text in the bank's character set. Raises Refused for a sign that it does not hold, naming
    the sign by its number only; in GBK that are rare signs of names (生僻字)."""
    try:
        raw = text.encode(charset.lower())
    except UnicodeEncodeError as error:
        raise _not_held(text[error.start], charset) from None
    # What leaves as GBK is read as GB18030 everywhere; the few signs the two read differently
    # must not change on the way.
    if charset == GBK and (back := raw.decode(GB18030.lower())) != text:
        pairs = zip(text, back, strict=False)
        raise _not_held(next(mine for mine, theirs in pairs if mine != theirs), charset)
    return raw


def fitting(text: str, charset: str, most_bytes: int) -> str:
    """A text on which no payment depends, as far as it fits: a sign the bank does not have becomes
    ``?``, and what is too long is cut between two signs."""
    kept: list[str] = []
    size = 0
    for sign in text:
        try:
            raw = encoded(sign, charset)
        except Refused:
            sign, raw = "?", b"?"
        size += len(raw)
        if size > most_bytes:
            break
        kept.append(sign)
    return "".join(kept).strip()


def _not_held(sign: str, charset: str) -> Refused:
    other = (
        "If the bank takes GB18030, write charset GB18030 in its connection; else choose another"
        " channel. Never write the name with another sign."
    )
    return Refused(
        "bank_direct.not_in_charset",
        f"The sign U+{ord(sign):04X} does not exist in {charset}, which this bank reads.",
        other if charset == GBK else "Correct the text where it is kept, and order again.",
    )


def _fields(raw: bytes, wanted: tuple[str, ...]) -> dict[str, str]:
    if len(raw) > MAX_BYTES:
        raise bad("too_large", f"The message has {len(raw):,} bytes; {MAX_BYTES:,} are read.")
    try:
        pairs = parse_qsl(
            raw.decode("ascii"), strict_parsing=True, keep_blank_values=True, max_num_fields=12
        )
    except ValueError:
        raise bad("form", "The body is not a form.") from None
    fields = dict(pairs)
    if len(fields) != len(pairs) or set(fields) != set(wanted):
        raise bad("form", f"The form does not have exactly the fields {', '.join(wanted)}.")
    return fields


def _document(fields: dict[str, str], verifier: Verifier) -> bytes:
    try:
        sign, data = fields["Sign"].encode("ascii"), fields["reqData"].encode("ascii")
    except UnicodeEncodeError:
        raise bad("base64", "The message is not base64.") from None
    document = exact_base64(data)
    check_signature(document, sign, verifier)
    return document
