"""The bank_direct rail (银企直连): an enterprise speaking to its own banks over their interfaces,
in the style of China Merchants Bank's cloud direct link (招商银行 云直联).

Owns: the form and its SM2 signature and SM4 secrecy (``envelope``), the messages (``messages``,
``account_messages``), bytes ↔ messages for both sides of the wire (``codec``), messages → reports
(``reports``), and the carrying of bytes to several banks at once (``connector``). What the bank's
documents fix is dated data in ``profile``. Promises: received is never read as paid, and every
answer short of the bank's own final word is doubt. Read next: ``profile.py``, then ``codec.py``.
"""
