"""Bank files (网银批量文件): payments that a person carries into a bank's page, and never twice.

An attempt on ``bank_file`` lies in the open file of its account; the file is exported once and is
frozen from then on; its result and the account's statement are imported. Begin with ``service.py``
(rows in, files out), then ``results.py``, ``releases.py`` (two people give rows up) and
``statement_files.py``. How a bank's file looks is ``rails/bank_file``. For finance staff:
``docs/rails/bank-file.md``.
"""
