"""The Merkle tree of RFC 6962, section 2.1, with SM3 in place of SHA-256.

A root of 32 bytes stands for a list of records. From it anyone can check that a record is in the
list (inclusion) and that a later list begins with an earlier one (consistency), without holding
the list. Leaves and nodes are hashed with different first bytes, so that no node passes for a
record. ``GrowingTree`` keeps only the peaks of the tree, so a sealer never reads old leaves again.

The functions take leaf *hashes*; ``leaf_hash`` makes one from a record.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from caiwutong.crypto.gm.sm3 import SM3_BYTES, sm3

HASH_BYTES = SM3_BYTES
EMPTY_ROOT = sm3(b"")
"""The root of a list without records."""


def leaf_hash(record: bytes) -> bytes:
    """SM3(0x00 || record)."""
    return sm3(b"\x00" + record)


def node_hash(left: bytes, right: bytes) -> bytes:
    """SM3(0x01 || left || right)."""
    return sm3(b"\x01" + left + right)


def root(leaves: Sequence[bytes]) -> bytes:
    """The root over these leaf hashes, computed from scratch."""
    tree = GrowingTree()
    tree.extend(leaves)
    return tree.root()


class GrowingTree:
    """A tree that grows at its right end and remembers only its peaks: log2(size) hashes.

    A peak is the root of a full subtree; their sizes are the one-bits of ``size``, largest first.
    """

    __slots__ = ("_peaks", "size")

    def __init__(self, size: int = 0, frontier: bytes = b"") -> None:
        """``frontier``: the peaks of a tree of ``size`` leaves, as ``frontier()`` gave them."""
        if size < 0 or len(frontier) != size.bit_count() * HASH_BYTES:
            raise ValueError(f"a tree of {size} leaves has not {len(frontier)} bytes of peaks")
        self.size = size
        self._peaks = [frontier[at : at + HASH_BYTES] for at in range(0, len(frontier), HASH_BYTES)]

    def append(self, leaf: bytes) -> None:
        """Add one leaf hash."""
        self.extend((leaf,))

    def extend(self, leaves: Iterable[bytes]) -> None:
        """Add leaf hashes in order."""
        peaks, size = self._peaks, self.size
        for leaf in leaves:
            peak, level = leaf, size
            while level & 1:
                peak = sm3(b"\x01" + peaks.pop() + peak)
                level >>= 1
            peaks.append(peak)
            size += 1
        self.size = size

    def root(self) -> bytes:
        """The root over every leaf so far."""
        if not self._peaks:
            return EMPTY_ROOT
        above = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            above = node_hash(peak, above)
        return above

    def frontier(self) -> bytes:
        """The peaks, largest first, 32 bytes each: all that must be kept to go on growing."""
        return b"".join(self._peaks)


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The hashes that lead from leaf ``index`` to the root (RFC 6962, 2.1.1), nearest first."""
    if not 0 <= index < len(leaves):
        raise ValueError(f"there is no leaf {index} among {len(leaves)}")
    proof: list[bytes] = []
    first, last = 0, len(leaves)
    while last - first > 1:
        middle = first + _split(last - first)
        if index < middle:
            proof.append(root(leaves[middle:last]))
            last = middle
        else:
            proof.append(root(leaves[first:middle]))
            first = middle
    return proof[::-1]


def inclusion_proof_of_new(
    size_before: int, frontier_before: bytes, new_leaves: Sequence[bytes], index: int
) -> list[bytes]:
    """As ``inclusion_proof`` for one of the newest leaves, without the older ones.

    ``frontier_before``: the peaks before ``new_leaves`` were added; ``index`` counts from the first
    leaf of all, and must be one of the new.
    """
    if not size_before <= index < size_before + len(new_leaves):
        raise ValueError(f"leaf {index} is not among the {len(new_leaves)} new ones")
    old = _peak_ranges(size_before, frontier_before)

    def over(first: int, last: int) -> bytes:
        # A range beside the path of a new leaf is a peak if it is all old: its parent is not.
        if (peak := old.get((first, last))) is not None:
            return peak
        if first >= size_before:
            return root(new_leaves[first - size_before : last - size_before])
        middle = first + _split(last - first)
        return node_hash(over(first, middle), over(middle, last))

    proof: list[bytes] = []
    first, last = 0, size_before + len(new_leaves)
    while last - first > 1:
        middle = first + _split(last - first)
        if index < middle:
            proof.append(over(middle, last))
            last = middle
        else:
            proof.append(over(first, middle))
            first = middle
    return proof[::-1]


def consistency_proof(leaves: Sequence[bytes], old_size: int) -> list[bytes]:
    """The hashes that show that the first ``old_size`` leaves are still there (RFC 6962, 2.1.2).

    Empty for an old size of 0 (any tree continues the empty one) and for the present size.
    """
    if not 0 <= old_size <= len(leaves):
        raise ValueError(f"a tree of {len(leaves)} leaves never had {old_size}")
    if old_size in (0, len(leaves)):
        return []
    proof: list[bytes] = []
    first, last, whole = 0, len(leaves), True
    while old_size != last - first:
        middle = _split(last - first)
        if old_size <= middle:
            proof.append(root(leaves[first + middle : last]))
            last = first + middle
        else:
            proof.append(root(leaves[first : first + middle]))
            first, old_size, whole = first + middle, old_size - middle, False
    if not whole:
        proof.append(root(leaves[first:last]))
    return proof[::-1]


def consistency_proof_of_new(
    old_size: int, old_frontier: bytes, new_leaves: Sequence[bytes]
) -> list[bytes]:
    """As ``consistency_proof`` from ``old_size`` on, without the leaves before it: the peaks of
    the old tree and the leaves that came after it are enough."""
    size = old_size + len(new_leaves)
    old = _peak_ranges(old_size, old_frontier)
    if old_size in (0, size):
        return []

    def over(first: int, last: int) -> bytes:
        # Every old range of the proof is a full subtree that no larger old one contains: a peak.
        peak = old.get((first, last))
        return root(new_leaves[first - old_size : last - old_size]) if peak is None else peak

    proof: list[bytes] = []
    first, last, left, whole = 0, size, old_size, True
    while left != last - first:
        middle = first + _split(last - first)
        if left <= middle - first:
            proof.append(over(middle, last))
            last = middle
        else:
            proof.append(over(first, middle))
            left, first, whole = left - (middle - first), middle, False
    if not whole:
        proof.append(over(first, last))
    return proof[::-1]


def verify_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], expected_root: bytes
) -> bool:
    """Whether ``proof`` shows this leaf hash at ``index`` of the tree of ``size`` (RFC 9162,
    2.1.3.2)."""
    if not 0 <= index < size:
        return False
    here, last, above = index, size - 1, leaf
    for sibling in proof:
        if last == 0 or len(sibling) != HASH_BYTES:
            return False
        if here & 1 or here == last:
            above = node_hash(sibling, above)
            while here and not here & 1:
                here, last = here >> 1, last >> 1
        else:
            above = node_hash(above, sibling)
        here, last = here >> 1, last >> 1
    return last == 0 and above == expected_root


def verify_consistency(
    old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]
) -> bool:
    """Whether ``proof`` shows that the new tree begins with the old one (RFC 9162, 2.1.4.2)."""
    if not 0 <= old_size <= new_size or any(len(each) != HASH_BYTES for each in proof):
        return False
    if old_size == 0:
        return not proof and old_root == EMPTY_ROOT
    if old_size == new_size:
        return not proof and old_root == new_root
    path = list(proof)
    if old_size & (old_size - 1) == 0:
        path.insert(0, old_root)
    if not path:
        return False
    here, last = old_size - 1, new_size - 1
    while here & 1:
        here, last = here >> 1, last >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if here & 1 or here == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while here and not here & 1:
                here, last = here >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        here, last = here >> 1, last >> 1
    return last == 0 and old == old_root and new == new_root


def _peak_ranges(size: int, frontier: bytes) -> dict[tuple[int, int], bytes]:
    """Each peak with the leaves [first, last) it stands for."""
    ranges: dict[tuple[int, int], bytes] = {}
    first = 0
    for place in range(size.bit_count()):
        width = 1 << (size - first).bit_length() - 1
        peak = frontier[place * HASH_BYTES : (place + 1) * HASH_BYTES]
        ranges[first, first + width] = peak
        first += width
    return ranges


def _split(size: int) -> int:
    """The largest power of two below ``size``: where RFC 6962 parts a tree."""
    return 1 << (size - 1).bit_length() - 1
