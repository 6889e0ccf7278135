"""A voucher-number bank, in the style of Ping An Bank's direct link (平安银行 银企直连).

A payment is known by its voucher number (ThirdVoucher, at most 20 characters). The bank's yes to a
payment is only acceptance; large payments and those without the payee's bank number wait for a
clerk. Owns: the fixed head and the signature (``envelope``), voucher numbers (``voucher``), the
messages (``messages``, ``schemas/``), frames ↔ messages (``codec``), messages → reports
(``reports``), questions about accounts (``accounts``), the line (``link``), and the connection as
the composite wants it (``connector``). Read next: ``profile.py``, then ``voucher.py``.
"""
