"""Statements: lines and balances from the banks, and how our books explain them.

Read ``model`` (the words), ``rules`` (pure decisions), ``store`` (rows), ``service`` (what happens
to a page), ``drift`` (book against bank), ``reader`` (who fetches). Lines that speak of a payment
are matched by ``payments/evidence.py``.
"""
