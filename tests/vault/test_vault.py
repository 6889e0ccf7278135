"""The vault: what is sealed opens in its own place only, and keys stay where they belong."""

from __future__ import annotations

import json
import os
import stat
import threading
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from caiwutong.kernel.clock import SystemRandomness
from caiwutong.kernel.errors import Broken
from caiwutong.vault import KeyRing, Vault, rotate

RANDOM = SystemRandomness()
VAULT = Vault.in_memory(RANDOM)
ACCOUNT = b"6222000000000417"


class Heard:
    def __init__(self) -> None:
        self.uses: list[tuple[str, str, str]] = []

    def key_used(self, act: str, key_id: str, record_class: str) -> None:
        self.uses.append((act, key_id, record_class))


@given(st.text(max_size=12), st.binary(max_size=300), st.binary(max_size=60))
def test_a_sealed_field_opens_in_its_place(record_class: str, text: bytes, context: bytes) -> None:
    sealed = VAULT.seal(record_class, text, context)
    assert VAULT.open(record_class, sealed, context) == text
    assert len(sealed) == len(text) + 32


def test_equal_fields_are_sealed_differently() -> None:
    assert VAULT.seal("payee", ACCOUNT, b"row 1") != VAULT.seal("payee", ACCOUNT, b"row 1")


@pytest.mark.parametrize(
    ("record_class", "context"),
    [("payee", b"row 2"), ("payer", b"row 1"), ("paye", b"erow 1"), ("", b"row 1")],
)
def test_a_field_moved_to_another_row_or_class_stays_shut(
    record_class: str, context: bytes
) -> None:
    sealed = VAULT.seal("payee", ACCOUNT, b"row 1")
    with pytest.raises(Broken) as broken:
        VAULT.open(record_class, sealed, context)
    assert broken.value.code == "vault.cannot_open"
    assert ACCOUNT.decode() not in broken.value.detail


@given(st.integers(min_value=0), st.integers(0, 7))
def test_a_field_with_any_altered_bit_stays_shut(place: int, bit: int) -> None:
    sealed = bytearray(VAULT.seal("payee", ACCOUNT, b"row 1"))
    sealed[place % len(sealed)] ^= 1 << bit
    with pytest.raises(Broken) as broken:
        VAULT.open("payee", bytes(sealed), b"row 1")
    assert broken.value.code in ("vault.cannot_open", "vault.no_such_key")


@pytest.mark.parametrize("cut", [0, 4, 31])
def test_a_cut_field_stays_shut(cut: int) -> None:
    with pytest.raises(Broken) as broken:
        VAULT.open("payee", VAULT.seal("payee", b"", b"")[:cut], b"")
    assert broken.value.code == "vault.cannot_open"


def test_another_vaults_key_is_missed_by_name() -> None:
    sealed = Vault.in_memory(RANDOM).seal("payee", ACCOUNT, b"")
    with pytest.raises(Broken) as broken:
        VAULT.open("payee", sealed, b"")
    assert broken.value.code == "vault.no_such_key"
    assert sealed[:4].hex() in broken.value.detail


def test_a_blind_index_finds_equals_of_one_kind_only() -> None:
    index = VAULT.blind_index("account", "6222000000000417")
    assert len(index) == 16
    assert VAULT.blind_index("account", "6222000000000417") == index
    assert VAULT.blind_index("account", "6222000000000418") != index
    assert VAULT.blind_index("name", "6222000000000417") != index
    assert VAULT.blind_index("accoun", "t6222000000000417") != index
    assert Vault.in_memory(RANDOM).blind_index("account", "6222000000000417") != index


def test_an_api_secret_is_bound_to_its_key_and_is_no_field() -> None:
    wrapped = VAULT.wrap_secret("ck_7f", b"hmac secret")
    assert VAULT.unwrap_secret("ck_7f", wrapped) == b"hmac secret"
    assert b"hmac secret" not in wrapped
    with pytest.raises(Broken):
        VAULT.unwrap_secret("ck_80", wrapped)
    with pytest.raises(Broken):
        VAULT.open("api_key", wrapped, b"ck_7f")


def test_anyone_with_the_public_key_checks_a_head() -> None:
    public = Ed25519PublicKey.from_public_bytes(VAULT.head_public_key)
    signature = VAULT.sign_head(b"head")
    public.verify(signature, b"head")
    with pytest.raises(InvalidSignature):
        public.verify(signature, b"another head")


def test_every_use_of_a_key_is_reported() -> None:
    heard = Heard()
    ring = KeyRing.fresh(RANDOM)
    vault = Vault(ring, RANDOM, heard)
    vault.open("payee", vault.seal("payee", ACCOUNT, b""), b"")
    vault.unwrap_secret("k", vault.wrap_secret("k", b"s"))
    vault.sign_head(b"head")
    field, secret, head = (ring.active(use)[0] for use in ("field", "api_secret", "audit_head"))
    assert heard.uses == [
        ("seal", field, "payee"),
        ("open", field, "payee"),
        ("wrap", secret, "api_key"),
        ("unwrap", secret, "api_key"),
        ("sign", head, "audit_head"),
    ]


def test_the_key_file_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    sealed = Vault.at(folder, RANDOM).seal("payee", ACCOUNT, b"")
    file = folder / "vault.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert os.listdir(folder) == ["vault.json"]
    assert Vault.at(folder, RANDOM).open("payee", sealed, b"") == ACCOUNT
    keys = json.loads(file.read_text())["keys"]
    assert {each["use"] for each in keys} == {"field", "blind_index", "api_secret", "audit_head"}


def test_who_only_verifies_makes_no_key_file(tmp_path: Path) -> None:
    with pytest.raises(Broken) as broken:
        Vault.at(tmp_path, RANDOM, create=False)
    assert broken.value.code == "vault.key_file_missing"
    assert os.listdir(tmp_path) == []
    made = Vault.at(tmp_path, RANDOM)
    assert Vault.at(tmp_path, RANDOM, create=False).head_public_key == made.head_public_key


def test_a_key_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    Vault.at(tmp_path, RANDOM)
    (tmp_path / "vault.json").chmod(0o640)
    with pytest.raises(Broken) as broken:
        Vault.at(tmp_path, RANDOM)
    assert broken.value.code == "vault.key_file_unsafe"


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 2, "keys": []}', "not json"])
def test_a_key_file_that_is_not_ours_is_refused_and_left_alone(tmp_path: Path, text: str) -> None:
    file = tmp_path / "vault.json"
    file.write_text(text)
    file.chmod(0o600)
    with pytest.raises(Broken) as broken:
        Vault.at(tmp_path, RANDOM)
    assert broken.value.code == "vault.key_file_unreadable"
    assert file.read_text() == text


def test_processes_that_start_together_share_one_file(tmp_path: Path) -> None:
    vaults: list[Vault] = []
    threads = [
        threading.Thread(target=lambda: vaults.append(Vault.at(tmp_path, RANDOM))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({each.head_public_key for each in vaults}) == 1


def test_after_a_rotation_old_fields_open_and_new_ones_use_the_new_key(tmp_path: Path) -> None:
    before = Vault.at(tmp_path, RANDOM)
    old = before.seal("payee", ACCOUNT, b"")
    new_id = rotate(tmp_path, "field", RANDOM)
    after = Vault.at(tmp_path, RANDOM)
    assert after.open("payee", old, b"") == ACCOUNT
    assert after.seal("payee", ACCOUNT, b"")[:4].hex() == new_id != old[:4].hex()
    assert after.blind_index("account", "1") == before.blind_index("account", "1")
    with pytest.raises(Broken) as broken:
        rotate(tmp_path, "blind_index", RANDOM)
    assert broken.value.code == "vault.index_key_is_fixed"


def test_wrapped_material_is_not_in_the_file_and_needs_its_wrapping(tmp_path: Path) -> None:
    class Flipped:
        name = "flipped"

        def wrap(self, key_id: str, material: bytes) -> bytes:
            return bytes(each ^ 0xFF for each in material)

        unwrap = wrap

    sealed = Vault.at(tmp_path, RANDOM, wrap=Flipped()).seal("payee", ACCOUNT, b"")
    assert Vault.at(tmp_path, RANDOM, wrap=Flipped()).open("payee", sealed, b"") == ACCOUNT
    with pytest.raises(Broken) as broken:
        Vault.at(tmp_path, RANDOM)
    assert broken.value.code == "vault.key_file_unreadable"


def test_keys_never_show() -> None:
    ring = KeyRing.fresh(RANDOM)
    assert ring.active("field")[1].hex() not in repr(ring)
    assert ring.active("field")[1].hex() not in repr(vars(Vault(ring, RANDOM)))
