"""The bank_direct rail (银企直连): an enterprise speaking to its own banks over their interfaces.

One rail, many bank connections, each of a *style*: the wire format of one family of banks. Owns:
what a style must be able to do (``contract``), which styles there are (``styles/catalog``), and the
composite that gives every account to its connection and every byte to its keys (``connector``).
What styles share stands beside it: bytes over HTTP (``line``), words for reports (``words``),
amounts and days (``fields``). Promises: received is never read as paid, and every answer short of
the bank's own final word is doubt. To write a new one: ``docs/rails/writing-a-connector.md``.
"""
