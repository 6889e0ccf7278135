"""The Chinese commercial ciphers (国密): SM2 signatures, SM3 hashes, SM4 encryption.

Promises: results follow GM/T 0003 (SM2), GM/T 0004 (SM3) and GM/T 0002 (SM4) and are checked
against their published examples; secrets never appear in a ``repr`` or an error. Read next:
``sm2.py`` for keys and signatures, ``sm3.py``, ``sm4.py``, ``encoding.py`` for DER and raw r||s.
"""

from caiwutong.crypto.gm.encoding import signature_to_der, signature_to_raw
from caiwutong.crypto.gm.sm2 import (
    DEFAULT_DISTID,
    Sm2PrivateKey,
    Sm2PublicKey,
    sm2_backend,
    sm2_backends,
)
from caiwutong.crypto.gm.sm3 import sm3, sm3_hmac
from caiwutong.crypto.gm.sm4 import (
    SM4_BLOCK_BYTES,
    SM4_KEY_BYTES,
    Sm4Gcm,
    sm4_cbc_decrypt,
    sm4_cbc_encrypt,
    sm4_gcm_open,
    sm4_gcm_seal,
)

__all__ = [
    "DEFAULT_DISTID",
    "SM4_BLOCK_BYTES",
    "SM4_KEY_BYTES",
    "Sm2PrivateKey",
    "Sm2PublicKey",
    "Sm4Gcm",
    "signature_to_der",
    "signature_to_raw",
    "sm2_backend",
    "sm2_backends",
    "sm3",
    "sm3_hmac",
    "sm4_cbc_decrypt",
    "sm4_cbc_encrypt",
    "sm4_gcm_open",
    "sm4_gcm_seal",
]
