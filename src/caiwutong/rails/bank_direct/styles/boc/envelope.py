"""The document around every message, and the signature before it.

On the wire stand ``SM2``, a blank, 88 characters of signature, a line feed, and the XML document in
UTF-8; the signature is over exactly the bytes of the document. That line is **own**: the bank's
front end signs and encrypts below the XML, in a way no public text describes. An order is written
without a token and unsigned; only when it is sent are the session's token and the signature put in
(``sealed``), so that the same order may go again in another session.
Pure, and the same for both sides. Read next: ``codec.py``.
"""

from __future__ import annotations

from caiwutong.rails.bank_direct.line import MAX_BYTES
from caiwutong.rails.bank_direct.signing import (
    SIGNATURE_CHARS,
    Signer,
    Verifier,
    check_signature,
    signature_of,
)
from caiwutong.rails.bank_direct.words import bad

MARK = b"SM2 "
_LINE = len(MARK) + SIGNATURE_CHARS
_HEAD_ENDS = b"</head>"


def sealed(document: bytes, signer: Signer, *, token: str = "") -> bytes:
    """The signed frame of this document, with the token in its head where one is given."""
    if token:
        # Texts are escaped, so the first end of a head is the head's.
        element = b"<token>%b</token></head>" % token.encode("ascii")
        document = document.replace(_HEAD_ENDS, element, 1)
    return b"%b%b\n%b" % (MARK, signature_of(document, signer), document)


def opened(raw: bytes, verifier: Verifier) -> bytes:
    """The document in a frame signed by the other side. Raises BadMessage."""
    if len(raw) > MAX_BYTES:
        raise bad("too_large", f"The message has {len(raw):,} bytes; {MAX_BYTES:,} are read.")
    if not raw.startswith(MARK) or raw[_LINE : _LINE + 1] != b"\n":
        raise bad("frame", "The message does not begin with a line that carries its signature.")
    document = raw[_LINE + 1 :]
    check_signature(document, raw[len(MARK) : _LINE], verifier)
    return document
