"""The style of China Merchants Bank's cloud direct link (招商银行 云直联): JSON, SM2 and SM4.

Owns: the form and its SM2 signature and SM4 secrecy (``envelope``), the messages (``messages``,
``account_messages``), bytes ↔ messages for both sides of the wire (``codec``), messages → reports
(``reports``), and one bank's connection (``link``, ``account_service``, ``connector``). What the
bank's documents fix is dated data in ``profile``. Read next: ``profile.py``, then ``codec.py``.
"""
