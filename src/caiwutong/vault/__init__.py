"""The vault (密钥库): the keys that must not be in the database, and what they do.

It owns the key file, field encryption, blind indexes, the wrapping of API secrets and the signature
under audit heads. Promises: no key leaves it, each use is reported through a port, a sealed field
opens only in the place it was sealed for. Read next: ``service.py``, then ``keyring.py``.
"""

from caiwutong.vault.keyring import KeyRing, KeyWrap, open_key_file, rotate
from caiwutong.vault.service import KeyUse, Vault

__all__ = ["KeyRing", "KeyUse", "KeyWrap", "Vault", "open_key_file", "rotate"]
