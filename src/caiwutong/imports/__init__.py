"""Batch import (批量导入): a file of payments, as finance staff write it, becomes payment orders.

Begin with ``service.py`` (check, then apply). The pure half: ``readers`` turns any file into named
rows; ``amounts``, ``dates``, ``accounts`` and ``cells`` hold the rules of one cell, ``rows`` those
of one row, ``sorting`` those of rows side by side; ``columns`` knows headers; ``template`` writes
the file we ask people to fill in. ``docs/imports.md`` is for those people.
"""
