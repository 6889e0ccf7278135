"""Our own accounts at banks, and the payees we keep.

Promises: an account number is sealed at rest and stands once per bank; each bank account has its
ledger accounts from the moment it exists; an update names the version it read. Read ``model`` (the
words), ``rules`` (what is well formed), ``service`` and ``payees`` (what they do).
"""
