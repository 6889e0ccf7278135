"""Batch import (批量导入): a file of payments, as finance staff write it, becomes payment orders.

Begin with ``service.py`` (check, then apply). The pure half: ``readers`` turns any file into named
rows; ``rows`` holds the rules of one row (those of one cell are in ``sheets``), ``sorting`` those
of rows side by side; ``columns`` knows headers; ``template`` writes the file we ask people to fill
in. ``docs/imports.md`` is for those people.
"""
