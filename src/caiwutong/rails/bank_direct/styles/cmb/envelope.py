"""The form around every message: canonical JSON, an SM2 signature in its place, SM4 around it all.

Owns: what exactly is signed and how it is hidden (招商银行云直联 请求处理流程, read 2026-11-23; H).
The signed text is compact JSON with all keys in ASCII order and the placeholder
``__signature_sigdat__`` where the signature will stand; the sent text is the same text with the
signature (SM2 with SM3, raw r||s, base64) in that place, encrypted with SM4-CBC under an IV
made of the user id padded with ``0`` to 16, and base64. Requests travel as a form ``UID, FUNCODE,
ALG=SM, DATA``; answers as the bare base64; notices as JSON ``corpNbr, enptData``.

Pure, and the same for both sides of the wire. Everything wrong with bytes from outside is
``BadMessage``; the signature is checked on the bytes that came, before their content is believed.
Read next: ``keys.py`` (the real keys), ``codec.py`` (the messages inside).
"""

from __future__ import annotations

import base64
from datetime import datetime, timedelta
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlencode

import msgspec

from caiwutong.kernel.errors import CaiwutongError
from caiwutong.rails.bank_direct.fields import bank_time, exact_base64
from caiwutong.rails.bank_direct.line import MAX_BYTES
from caiwutong.rails.bank_direct.styles.cmb.profile import CMB_CLOUD
from caiwutong.rails.bank_direct.words import bad

PLACEHOLDER = "__signature_sigdat__"
ALGORITHM = "SM"
SIGNATURE_CHARS = 88
"""64 bytes in base64."""

_BLANK = f'"sigdat":"{PLACEHOLDER}"'.encode()


class Signer(Protocol):
    """Our own secret: raw r||s, 64 bytes, over these bytes under this SM2 identity."""

    def sign(self, data: bytes, identity: bytes) -> bytes: ...


class Verifier(Protocol):
    """The other side's public key."""

    def verify(self, data: bytes, signature: bytes, identity: bytes) -> bool: ...


class Cipher(Protocol):
    """The secret both sides share. ``decrypt`` raises a house error or ValueError on bad bytes."""

    def encrypt(self, plaintext: bytes, iv: bytes) -> bytes: ...

    def decrypt(self, ciphertext: bytes, iv: bytes) -> bytes: ...


class Keys(msgspec.Struct, frozen=True):
    """One side's keys for one link between an enterprise and a bank."""

    signer: Signer
    verifier: Verifier
    cipher: Cipher


class Form(msgspec.Struct, frozen=True):
    """The four fields of a request. ``data``: base64 of the encrypted text."""

    user_id: str
    function: str
    data: bytes


class Signature(msgspec.Struct, frozen=True):
    """When the text was signed (``yyyyMMddHHmmss`` in China), and the signature or placeholder."""

    sigdat: str
    sigtim: str


def canonical(value: Any) -> bytes:
    """Compact UTF-8 JSON with every object's keys in ASCII order, however deep."""
    return msgspec.json.encode(value, order="sorted")


def padded(user_id: str) -> bytes:
    """The user id right-padded with ``0`` to 16 bytes: IV of the cipher, identity of the key."""
    raw = user_id.encode()
    if not 0 < len(raw) <= 16 or not user_id.isascii():
        raise bad("user_id", "The user id has not 1 to 16 ASCII characters.")
    return raw.ljust(16, b"0")


# ---- sign and hide


def seal(
    document: dict[str, Any], *, iv: bytes, identity: bytes, at: datetime, keys: Keys
) -> bytes:
    """Base64 of the encrypted, signed canonical text of ``document`` with its signature object."""
    signed = dict(document, signature=Signature(PLACEHOLDER, bank_time(at)))
    return seal_text(canonical(signed), iv=iv, identity=identity, keys=keys)


def seal_text(text: bytes, *, iv: bytes, identity: bytes, keys: Keys) -> bytes:
    """The same for a canonical text that carries the placeholder itself."""
    signature = base64.b64encode(keys.signer.sign(text, identity))
    # A caller's words cannot look like the placeholder: inside a JSON string quotes are escaped.
    before, _, after = text.rpartition(_BLANK)
    return base64.b64encode(
        keys.cipher.encrypt(b'%b"sigdat":"%b"%b' % (before, signature, after), iv)
    )


# ---- open and check


def open_sealed(data: bytes, *, iv: bytes, cipher: Cipher) -> bytes:
    """The text behind base64 and cipher, not yet believed."""
    check_size(data)
    raw = exact_base64(data)
    try:
        return cipher.decrypt(raw, iv)
    except (CaiwutongError, ValueError):
        raise bad("decrypt", "The message cannot be decrypted with the key of this link.") from None


def check_signature(text: bytes, sigdat: str, *, identity: bytes, verifier: Verifier) -> None:
    """Raise BadMessage unless ``sigdat``, as it stands once in ``text``, is the other side's
    signature over the text with the placeholder in its stead."""
    needle = f'"sigdat":"{sigdat}"'.encode()
    if len(sigdat) == SIGNATURE_CHARS and text.count(needle) == 1:
        raw = exact_base64(sigdat.encode())
        if verifier.verify(text.replace(needle, _BLANK), raw, identity):
            return
    raise bad("signature", "The signature is not the one of the other side's key over this text.")


def check_fresh(signed_at: datetime, now: datetime) -> None:
    """Raise BadMessage if the signature is further from now than the interface allows (±1 h)."""
    if abs(signed_at - now) > timedelta(seconds=CMB_CLOUD.signature_window_s):
        raise bad("stale", f"The message was signed at {signed_at:%Y-%m-%d %H:%M:%S}Z.")


def check_size(raw: bytes) -> None:
    """Raise BadMessage for more bytes than any message has."""
    if len(raw) > MAX_BYTES:
        raise bad("too_large", f"The message has {len(raw):,} bytes; {MAX_BYTES:,} are read.")


# ---- the form


def write_form(form: Form) -> bytes:
    """``UID=…&FUNCODE=…&ALG=SM&DATA=…``, percent-encoded."""
    return urlencode(
        {"UID": form.user_id, "FUNCODE": form.function, "ALG": ALGORITHM, "DATA": form.data}
    ).encode()


def read_form(raw: bytes) -> Form:
    """The fields of a request's body. Raises BadMessage."""
    check_size(raw)
    try:
        pairs = parse_qsl(raw.decode("ascii"), strict_parsing=True, max_num_fields=8)
        fields = dict(pairs)
        form = Form(fields["UID"], fields["FUNCODE"], fields["DATA"].encode("ascii"))
    except (ValueError, KeyError):
        raise bad("form", "The body is not a form with UID, FUNCODE, ALG and DATA.") from None
    if len(fields) != len(pairs) or fields.get("ALG") != ALGORITHM:
        raise bad("form", "The form repeats a field, or its ALG is not SM.")
    return form
