"""A token-session XML bank, in the style of Bank of China's b2e interface (中国银行 银企对接).

A sign-in gives a token; every message of the session carries it; when it is no longer good the bank
says so without looking into the message. Owns: the document and its signature (``envelope``), the
messages (``messages``, ``schemas/``), documents ↔ messages (``codec``), messages → reports
(``reports``), the session and its token (``link``), questions about accounts (``accounts``), and
the connection as the composite wants it (``connector``). Read next: ``profile.py``, ``codec.py``.
"""
