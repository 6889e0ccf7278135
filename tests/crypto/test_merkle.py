"""The Merkle tree: its definition, the growing tree, and proofs as laws."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caiwutong.crypto import merkle
from caiwutong.crypto.gm import sm3

records = st.lists(st.binary(max_size=8), max_size=70)
some_records = st.lists(st.binary(max_size=8), min_size=1, max_size=70)


def by_definition(data: list[bytes]) -> bytes:
    """MTH(D[n]) by the letter of RFC 6962, 2.1."""
    if not data:
        return sm3(b"")
    if len(data) == 1:
        return sm3(b"\x00" + data[0])
    k = 1
    while k * 2 < len(data):
        k *= 2
    return sm3(b"\x01" + by_definition(data[:k]) + by_definition(data[k:]))


def hashes(data: list[bytes]) -> list[bytes]:
    return [merkle.leaf_hash(each) for each in data]


def flip(value: bytes, bit: int) -> bytes:
    bit %= len(value) * 8
    return bytes(each ^ (1 << bit % 8 if at == bit // 8 else 0) for at, each in enumerate(value))


def test_the_empty_tree_has_the_hash_of_nothing() -> None:
    assert merkle.root([]) == merkle.EMPTY_ROOT == sm3(b"")


@given(records)
def test_the_root_is_the_one_of_the_definition(data: list[bytes]) -> None:
    assert merkle.root(hashes(data)) == by_definition(data)


@given(st.lists(records, max_size=5))
def test_a_tree_grown_in_batches_equals_one_grown_at_once(batches: list[list[bytes]]) -> None:
    tree = merkle.GrowingTree()
    for batch in batches:
        tree = merkle.GrowingTree(tree.size, tree.frontier())  # as after a restart
        tree.extend(hashes(batch))
    everything = [each for batch in batches for each in batch]
    assert tree.size == len(everything)
    assert tree.root() == by_definition(everything)


@given(some_records, st.data())
def test_every_record_can_be_proved(data: list[bytes], draw: st.DataObject) -> None:
    index = draw.draw(st.integers(0, len(data) - 1))
    leaves = hashes(data)
    proof = merkle.inclusion_proof(leaves, index)
    assert len(proof) <= (len(data) - 1).bit_length()
    assert merkle.verify_inclusion(leaves[index], index, len(data), proof, merkle.root(leaves))


@given(some_records, st.data())
def test_an_altered_inclusion_proof_fails(data: list[bytes], draw: st.DataObject) -> None:
    index = draw.draw(st.integers(0, len(data) - 1))
    bit = draw.draw(st.integers(0, 255))
    leaves, size = hashes(data), len(data)
    root, proof = merkle.root(leaves), merkle.inclusion_proof(leaves, index)
    assert not merkle.verify_inclusion(flip(leaves[index], bit), index, size, proof, root)
    assert not merkle.verify_inclusion(leaves[index], index, size, proof, flip(root, bit))
    assert not merkle.verify_inclusion(leaves[index], index, size, [*proof, root], root)
    assert not merkle.verify_inclusion(leaves[index], size, size, proof, root)
    if proof:
        at = draw.draw(st.integers(0, len(proof) - 1))
        bad = [flip(each, bit) if here == at else each for here, each in enumerate(proof)]
        assert not merkle.verify_inclusion(leaves[index], index, size, bad, root)
        assert not merkle.verify_inclusion(leaves[index], index, size, proof[:-1], root)


@given(records, some_records, st.data())
def test_a_new_record_is_proved_without_the_old_ones(
    old: list[bytes], new: list[bytes], draw: st.DataObject
) -> None:
    before = merkle.GrowingTree()
    before.extend(hashes(old))
    index = draw.draw(st.integers(len(old), len(old) + len(new) - 1))
    proof = merkle.inclusion_proof_of_new(len(old), before.frontier(), hashes(new), index)
    assert proof == merkle.inclusion_proof(hashes(old + new), index)


def test_an_old_record_is_not_proved_from_the_new_ones() -> None:
    with pytest.raises(ValueError, match="not among the 1 new"):
        merkle.inclusion_proof_of_new(1, merkle.leaf_hash(b""), [merkle.leaf_hash(b"")], 0)


@given(records, st.data())
def test_every_older_tree_can_be_shown_inside(data: list[bytes], draw: st.DataObject) -> None:
    old_size = draw.draw(st.integers(0, len(data)))
    leaves = hashes(data)
    old_root, new_root = merkle.root(leaves[:old_size]), merkle.root(leaves)
    proof = merkle.consistency_proof(leaves, old_size)
    assert merkle.verify_consistency(old_size, old_root, len(data), new_root, proof)


@given(some_records, st.data())
def test_a_tree_with_another_past_cannot_be_shown(data: list[bytes], draw: st.DataObject) -> None:
    old_size = draw.draw(st.integers(1, len(data)))
    bit = draw.draw(st.integers(0, 255))
    leaves = hashes(data)
    old_root, new_root = merkle.root(leaves[:old_size]), merkle.root(leaves)
    proof, size = merkle.consistency_proof(leaves, old_size), len(data)
    assert not merkle.verify_consistency(old_size, flip(old_root, bit), size, new_root, proof)
    assert not merkle.verify_consistency(old_size, old_root, size, flip(new_root, bit), proof)
    assert not merkle.verify_consistency(size + 1, old_root, size, new_root, proof)
    if proof:
        at = draw.draw(st.integers(0, len(proof) - 1))
        bad = [flip(each, bit) if here == at else each for here, each in enumerate(proof)]
        assert not merkle.verify_consistency(old_size, old_root, size, new_root, bad)
        assert not merkle.verify_consistency(old_size, old_root, size, new_root, proof[1:])


def test_a_node_never_passes_for_a_record() -> None:
    left, right = merkle.leaf_hash(b"a"), merkle.leaf_hash(b"b")
    assert merkle.leaf_hash(left + right) != merkle.node_hash(left, right)


def test_peaks_that_do_not_fit_the_size_are_refused() -> None:
    with pytest.raises(ValueError, match="a tree of 3 leaves"):
        merkle.GrowingTree(3, bytes(32))
    with pytest.raises(ValueError, match="there is no leaf"):
        merkle.inclusion_proof([], 0)
    with pytest.raises(ValueError, match="never had"):
        merkle.consistency_proof([], 1)


@given(records, records)
def test_growth_is_proved_from_the_peaks_and_what_came_after(
    old: list[bytes], new: list[bytes]
) -> None:
    everything, before = hashes(old + new), merkle.GrowingTree()
    before.extend(hashes(old))
    proof = merkle.consistency_proof_of_new(before.size, before.frontier(), hashes(new))
    assert proof == merkle.consistency_proof(everything, len(old))
