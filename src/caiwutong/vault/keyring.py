"""The key ring and the file it lives in.

One JSON file, mode 0600, outside the database and its backups. A key has an id of eight random hex
digits (so that a lost and recreated file is noticed, not mistaken for the old one), one use and its
material. The last key of a use is the active one; older ones stay to open what they sealed.

``KeyWrap`` is the seam where key material is itself encrypted (attribute-based encryption, an HSM):
the default keeps it as it is, guarded by the file's mode alone.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from caiwutong.kernel.clock import Randomness
from caiwutong.kernel.errors import Broken

KEY_FILE_NAME = "vault.json"

Use = Literal["field", "blind_index", "api_secret", "audit_head"]
USES: tuple[Use, ...] = ("field", "blind_index", "api_secret", "audit_head")
_ALGORITHMS: dict[Use, tuple[str, int]] = {
    "field": ("HMAC-SM3/SM4-GCM", 32),
    "blind_index": ("HMAC-SM3", 32),
    "api_secret": ("HMAC-SM3/SM4-GCM", 32),
    "audit_head": ("Ed25519", 32),
}


class KeyWrap(Protocol):
    """Hides key material while it is at rest. ``name`` is kept beside what it wrapped."""

    name: str

    def wrap(self, key_id: str, material: bytes) -> bytes: ...

    def unwrap(self, key_id: str, wrapped: bytes) -> bytes: ...


class FileModeOnly:
    """No wrapping: the mode of the file is the only guard."""

    name = "none"

    def wrap(self, key_id: str, material: bytes) -> bytes:
        return material

    def unwrap(self, key_id: str, wrapped: bytes) -> bytes:
        return wrapped


class StoredKey(msgspec.Struct, frozen=True):
    """One key as the file holds it; ``material`` is base64 in JSON, wrapped as ``wrap`` says."""

    id: str
    use: Use
    algorithm: str
    wrap: str
    material: bytes

    def __repr__(self) -> str:
        return f"StoredKey({self.id}, {self.use})"


class StoredKeys(msgspec.Struct, frozen=True):
    """The whole file."""

    format: int
    keys: list[StoredKey]


class KeyRing:
    """Keys in memory, by use and id. Never shows material."""

    __slots__ = ("_by_use",)

    def __init__(self, keys: list[tuple[Use, str, bytes]]) -> None:
        """``keys``: (use, id, material), the active one of each use last."""
        self._by_use: dict[Use, dict[str, bytes]] = {use: {} for use in USES}
        for use, key_id, material in keys:
            self._by_use[use][key_id] = material
        for use in USES:
            if not self._by_use[use]:
                raise Broken(
                    "vault.key_missing",
                    f"The key file holds no key for {use}.",
                    "Restore the key file from its backup.",
                )

    @classmethod
    def fresh(cls, randomness: Randomness) -> KeyRing:
        """A new ring with one key of each use, in memory only: for tests and simulations."""
        return cls([(use, *_draw(use, randomness)) for use in USES])

    def active(self, use: Use) -> tuple[str, bytes]:
        """The id and material of the newest key of this use."""
        return next(reversed(self._by_use[use].items()))

    def find(self, use: Use, key_id: str) -> bytes | None:
        """The material of this key, or None if the ring does not hold it."""
        return self._by_use[use].get(key_id)

    def __repr__(self) -> str:
        ids = {use: list(keys) for use, keys in self._by_use.items()}
        return f"KeyRing({ids})"


def open_key_file(
    folder: Path, randomness: Randomness, wrap: KeyWrap | None = None, *, create: bool = True
) -> KeyRing:
    """The ring in ``folder/vault.json``, made on first use (folder 0700, file 0600, on disk).

    Two processes that start together end with the same file. Raises ``Broken``
    ``vault.key_file_unsafe`` when others may read it, ``vault.key_file_unreadable`` when it is not
    ours or wrapped by something else, ``vault.key_file_missing`` when it is not to be made.
    """
    wrap = wrap or FileModeOnly()
    path = folder / KEY_FILE_NAME
    if not path.exists():
        if not create:
            raise Broken(
                "vault.key_file_missing",
                f"There is no key file in {folder}.",
                "Give the folder of the keys this database was used with.",
            )
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        keys = [_stored(use, *_draw(use, randomness), wrap) for use in USES]
        draft = _write_draft(path, StoredKeys(1, keys))
        # A link never replaces: whoever comes second reads the first one's keys.
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
        draft.unlink()
        _sync_folder(folder)
    return KeyRing([(each.use, each.id, _unwrapped(each, wrap, path)) for each in _read(path).keys])


def rotate(folder: Path, use: Use, randomness: Randomness, wrap: KeyWrap | None = None) -> str:
    """Put a new active key of this use into the file; its id. Old keys stay to open old fields.

    Restart the processes afterwards. A blind index never rotates: every stored index would be lost.
    """
    if use == "blind_index":
        raise Broken(
            "vault.index_key_is_fixed",
            "The blind-index key cannot be replaced: stored indexes would no longer be found.",
            "Build a new index over opened fields instead.",
        )
    path = folder / KEY_FILE_NAME
    stored = _read(path)
    key = _stored(use, *_draw(use, randomness), wrap or FileModeOnly())
    _write_draft(path, StoredKeys(stored.format, [*stored.keys, key])).replace(path)
    _sync_folder(folder)
    return key.id


def _draw(use: Use, randomness: Randomness) -> tuple[str, bytes]:
    return randomness.bytes(4).hex(), randomness.bytes(_ALGORITHMS[use][1])


def _stored(use: Use, key_id: str, material: bytes, wrap: KeyWrap) -> StoredKey:
    return StoredKey(key_id, use, _ALGORITHMS[use][0], wrap.name, wrap.wrap(key_id, material))


def _unwrapped(key: StoredKey, wrap: KeyWrap, path: Path) -> bytes:
    if key.wrap != wrap.name or key.algorithm != _ALGORITHMS[key.use][0]:
        raise Broken(
            "vault.key_file_unreadable",
            f"Key {key.id} in {path.name} is {key.algorithm} wrapped by {key.wrap}.",
            f"Open it with the software and wrapping ({key.wrap}) that made it.",
        )
    return wrap.unwrap(key.id, key.material)


def _read(path: Path) -> StoredKeys:
    mode = path.stat().st_mode
    if os.name == "posix" and mode & 0o077:
        raise Broken(
            "vault.key_file_unsafe",
            f"The key file {path.name} may be read by others (mode {mode & 0o777:o}).",
            "Set its mode to 600 and consider its keys as known to others.",
        )
    try:
        stored = msgspec.json.decode(path.read_bytes(), type=StoredKeys)
    except msgspec.DecodeError as error:
        raise Broken(
            "vault.key_file_unreadable",
            f"The key file {path.name} cannot be read.",
            "Restore it from its backup; without it sealed fields stay sealed.",
        ) from error
    if stored.format != 1:
        raise Broken(
            "vault.key_file_unreadable",
            f"The key file {path.name} has format {stored.format}; this software reads format 1.",
            "Upgrade the software.",
        )
    return stored


def _write_draft(path: Path, stored: StoredKeys) -> Path:
    draft = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    draft.unlink(missing_ok=True)
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(stored), indent=2))
        file.flush()
        os.fsync(file.fileno())
    return draft


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
