"""Bytes ↔ BEPS messages: the dialect of BEPS in the shared codec of ``rails/cnaps``. Pure.

The frame is the V02 header, the signature block ``{S:`` and the body. One signature serves a whole
batch.
"""

from __future__ import annotations

from caiwutong.rails.beps import profile
from caiwutong.rails.beps.shapes import BY_KIND
from caiwutong.rails.cnaps.codec import Codec, Dialect, replies_with
from caiwutong.rails.cnaps.header import V02

DIALECT = Dialect(
    system=profile.SYSTEM,
    header=V02,
    shapes=tuple(BY_KIND.values()),
    replies=replies_with("beps.124.001.01"),
)
CODEC = Codec(DIALECT)
