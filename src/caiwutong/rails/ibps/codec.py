"""Bytes ↔ IBPS messages, pure: the shared CNAPS2 codec in the dialect of IBPS. Both sides of the
wire use it. Read next: ``rails/cnaps/codec.py`` (what is promised), ``shapes.py`` (the layouts).
"""

from __future__ import annotations

from caiwutong.rails.cnaps.codec import MAX_BODY, MAX_RAW, Codec, Dialect, replies_with
from caiwutong.rails.cnaps.header import V01
from caiwutong.rails.ibps.shapes import SHAPES

__all__ = ["CODEC", "MAX_BODY", "MAX_RAW", "decode_frames", "encode", "read_headers"]

CODEC = Codec(
    Dialect("IBPS", V01, SHAPES, replies=replies_with("ibps.102.001.01"), signed_in_body=True)
)
encode = CODEC.encode
decode_frames = CODEC.decode_frames
split_frames = CODEC.split_frames
read_headers = CODEC.read_headers
