"""bank_file: the channel of banks without a direct link (网银批量文件).

We write the bank's own batch template; a person carries it into the bank's web page and authorises
it there (待网银授权); the result file and the statement come back the same way. Begin with
``template.py`` (a bank's format as dated data) and ``codec.py`` (rows out, rows in, pure);
``statement.py`` reads statement files, ``counterpart.py`` is the bank's side of the same formats,
``connector.py`` puts it behind the contract of rails. What is done with files, and never paid
twice, is the room ``bank_files``. For finance staff: ``docs/rails/bank-file.md``.
"""
