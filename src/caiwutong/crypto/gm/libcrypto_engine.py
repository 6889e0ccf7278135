"""SM2 by the system's libcrypto 3 through ctypes: some 2,300 signatures a second.

Python's own ``ssl`` already brings OpenSSL into the process, so nothing is installed for this.
Keys are loaded once; each call makes and frees its own context, so threads share keys freely
(ctypes releases the GIL while libcrypto works). The error queue of the thread is shared with
``ssl``, so it is always left clean.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from caiwutong.crypto.gm.encoding import private_key_info, public_key_info
from caiwutong.kernel.errors import Broken

_OPENSSL_3 = 0x30000000
_MAX_SIGNATURE_BYTES = 80

_pointer, _int, _long, _size = ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_size_t
_text, _size_ref = ctypes.c_char_p, ctypes.POINTER(ctypes.c_size_t)
_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "OpenSSL_version_num": (ctypes.c_ulong, []),
    "ERR_clear_error": (None, []),
    "d2i_AutoPrivateKey": (_pointer, [_pointer, ctypes.POINTER(_text), _long]),
    "d2i_PUBKEY": (_pointer, [_pointer, ctypes.POINTER(_text), _long]),
    "EVP_PKEY_free": (None, [_pointer]),
    "EVP_PKEY_is_a": (_int, [_pointer, _text]),
    "EVP_PKEY_get_octet_string_param": (_int, [_pointer, _text, _text, _size, _size_ref]),
    "EVP_PKEY_CTX_new": (_pointer, [_pointer, _pointer]),
    "EVP_PKEY_CTX_free": (None, [_pointer]),
    "EVP_PKEY_sign_init": (_int, [_pointer]),
    "EVP_PKEY_sign": (_int, [_pointer, _text, _size_ref, _text, _size]),
    "EVP_PKEY_verify_init": (_int, [_pointer]),
    "EVP_PKEY_verify": (_int, [_pointer, _text, _size, _text, _size]),
}


class _Key:
    """One EVP_PKEY, freed when the last user lets it go."""

    __slots__ = ("_free", "_lib", "handle")

    def __init__(self, lib: Any, read: Any, der: bytes) -> None:
        self._lib, self._free = lib, lib.EVP_PKEY_free
        self.handle = read(None, ctypes.byref(_text(der)), len(der))
        if not self.handle or lib.EVP_PKEY_is_a(self.handle, b"SM2") != 1:
            lib.ERR_clear_error()
            raise Broken("crypto.engine", "libcrypto could not load an SM2 key.")

    def context(self) -> int:
        """A fresh EVP_PKEY_CTX; the caller frees it."""
        context = self._lib.EVP_PKEY_CTX_new(self.handle, None)
        if not context:
            self._lib.ERR_clear_error()
            raise Broken("crypto.engine", "libcrypto has no memory for a context.")
        return context

    def __del__(self) -> None:
        if getattr(self, "handle", None):
            self._free(self.handle)
            self.handle = None


class LibcryptoSigner:
    """A secret inside libcrypto."""

    __slots__ = ("_key", "_lib", "point")

    def __init__(self, lib: Any, secret: bytes) -> None:
        self._lib = lib
        self._key = _Key(lib, lib.d2i_AutoPrivateKey, private_key_info(secret))
        out, size = ctypes.create_string_buffer(65), ctypes.c_size_t(0)
        if (
            lib.EVP_PKEY_get_octet_string_param(
                self._key.handle, b"encoded-pub-key", out, 65, ctypes.byref(size)
            )
            != 1
        ):
            lib.ERR_clear_error()
            raise Broken("crypto.engine", "libcrypto could not derive an SM2 public key.")
        self.point = out.raw[: size.value]

    def sign_digest(self, digest: bytes) -> bytes:
        lib = self._lib
        out = ctypes.create_string_buffer(_MAX_SIGNATURE_BYTES)
        size = ctypes.c_size_t(_MAX_SIGNATURE_BYTES)
        context = self._key.context()
        try:
            if (
                lib.EVP_PKEY_sign_init(context) != 1
                or lib.EVP_PKEY_sign(context, out, ctypes.byref(size), digest, len(digest)) != 1
            ):
                lib.ERR_clear_error()
                raise Broken("crypto.engine", "libcrypto could not sign.")
        finally:
            lib.EVP_PKEY_CTX_free(context)
        return out.raw[: size.value]


class LibcryptoVerifier:
    """A public key inside libcrypto."""

    __slots__ = ("_key", "_lib")

    def __init__(self, lib: Any, point: bytes) -> None:
        self._lib = lib
        self._key = _Key(lib, lib.d2i_PUBKEY, public_key_info(point))

    def verify_digest(self, digest: bytes, signature: bytes) -> bool:
        lib = self._lib
        context = self._key.context()
        try:
            if lib.EVP_PKEY_verify_init(context) != 1:
                lib.ERR_clear_error()
                raise Broken("crypto.engine", "libcrypto could not begin to verify.")
            good = lib.EVP_PKEY_verify(context, signature, len(signature), digest, len(digest)) == 1
        finally:
            lib.EVP_PKEY_CTX_free(context)
        if not good:
            lib.ERR_clear_error()
        return good


class LibcryptoEngine:
    """SM2 by one loaded libcrypto."""

    name = "libcrypto"

    def __init__(self, lib: Any) -> None:
        self._lib = lib

    def load_secret(self, secret: bytes) -> LibcryptoSigner:
        return LibcryptoSigner(self._lib, secret)

    def load_point(self, point: bytes) -> LibcryptoVerifier:
        return LibcryptoVerifier(self._lib, point)


def find() -> LibcryptoEngine | None:
    """The engine on the first OpenSSL 3 within reach, or None."""
    for place in _places():
        try:
            lib = ctypes.CDLL(place)
            for name, (result, arguments) in _SIGNATURES.items():
                function = getattr(lib, name)
                function.restype, function.argtypes = result, arguments
        except (OSError, AttributeError):
            continue
        if lib.OpenSSL_version_num() >= _OPENSSL_3:
            return LibcryptoEngine(lib)
    return None


def _places() -> Iterator[str]:
    """Where libcrypto may be, the one that ``ssl`` already uses first."""
    try:
        import _ssl

        # Looking a name up in a module also looks in the libraries it is linked to.
        if place := getattr(_ssl, "__file__", None):
            yield place
    except ImportError:
        pass
    if sys.platform == "win32":
        for folder in (Path(sys.base_prefix) / "DLLs", Path(sys.base_prefix)):
            yield from map(str, sorted(folder.glob("libcrypto-3*.dll")))
    if found := ctypes.util.find_library("crypto"):
        yield found
    yield from ("libcrypto.so.3", "libcrypto.3.dylib")
