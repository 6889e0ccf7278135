"""The ledger: double entry in integer fen, holds, and the balance as of any time.

Read ``model`` (the words), ``rules`` (every decision, pure), ``store`` (rows), ``service`` (what it
does). Others enter through ``service``.
"""
