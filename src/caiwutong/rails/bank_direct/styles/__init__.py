"""Styles: the wire formats of bank families, one folder each, one line each in ``catalog.py``.

A style knows ``bank_direct.contract`` and what stands beside it; styles do not know each other.
"""
