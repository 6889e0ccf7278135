"""The outside witness (见证): keeps heads where the house cannot reach them, and never forgets one.

Run it on another machine. Each time it is called it asks the house for its newest head and for the
proof that the log still begins with the head kept last; only then it writes the new one down. So a
log that was rewritten between two calls is noticed at the second, whoever rewrote it, and
``verify --witness`` finds what was changed.

The file is append-only, one signed head a line, on disk before ``keep`` returns.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from caiwutong.audit.heads import Head, SignedHead, read_heads
from caiwutong.audit.proof import GrowthProof, shows_growth
from caiwutong.kernel.errors import Broken


class Witness:
    """One tenant's heads in one file, under one public key."""

    def __init__(self, path: Path, public_key: bytes) -> None:
        """Reads what was kept. Raises ``Broken`` ``audit.bad_head``, ``audit.witness_altered``."""
        self._path = path
        self._key = public_key
        self.last: SignedHead | None = None
        self.kept = 0
        for line in read_heads(path):
            if not line.is_signed_by(public_key):
                raise Broken(
                    "audit.witness_altered",
                    f"Line {self.kept + 1} of {path.name} is not signed by the log's key.",
                    "Restore the witness's file, or check that the key is the right one.",
                )
            self.last = line
            self.kept += 1

    @property
    def size(self) -> int:
        """How many events the head kept last stands for: what to ask growth from."""
        return self.last.decoded().size if self.last else 0

    def keep(self, proof: GrowthProof) -> Head | None:
        """Check the growth and write the new head down; None when nothing has grown. Raises
        ``Broken`` ``audit.history_rewritten`` and writes nothing when the log does not begin with
        what was kept."""
        if not shows_growth(proof, self.last, self._key):
            raise Broken(
                "audit.history_rewritten",
                f"The log does not begin with the {self.size} events whose head was kept.",
                "Do not stop here: keep this file, and verify the log against it "
                "(`caiwutong audit verify --witness`).",
            )
        head = proof.head.decoded()
        if head.size == self.size:
            return None
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with open(self._path, "ab") as file:
            file.write(msgspec.json.encode(proof.head) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self.last, self.kept = proof.head, self.kept + 1
        return head
