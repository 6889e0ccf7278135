"""Tables as people and banks write them, read defensively and written harmlessly.

``csv_reader`` and ``spreadsheet`` turn bytes into rows, whatever the bytes are; ``cells``,
``amounts``, ``dates`` and ``accounts`` hold the rules of one cell, pure; ``writer`` writes tables
that no spreadsheet program runs. Who gives the columns their meaning: ``imports`` for orders,
``rails/bank_file`` for the files of banks.
"""
