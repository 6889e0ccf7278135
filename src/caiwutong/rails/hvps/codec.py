"""Bytes ↔ HVPS messages, pure: the shared CNAPS2 codec in the dialect of HVPS. Both sides of the
wire use it. Read next: ``rails/cnaps/codec.py`` (what is promised), ``shapes.py`` (the layouts).
"""

from __future__ import annotations

from caiwutong.rails.cnaps.codec import Codec, Dialect, replies_with
from caiwutong.rails.cnaps.header import V02
from caiwutong.rails.hvps.shapes import SHAPES

__all__ = ["CODEC"]

CODEC = Codec(Dialect("HVPS", V02, SHAPES, replies=replies_with()))
