"""The audit log (审计日志): what happened, in order, so that nobody can rewrite it unseen.

Every state change and every refused act is an event, written in the transaction of the act itself
by a role that can only insert. The log is also the outbox. Within a second the sealer puts events
into batches of a Merkle tree (RFC 6962, SM3), signs each head with a key that is not in the
database and exports it to a file outside. Read next: ``model.py`` (an event), ``service.py`` (what
others call), ``seal.py``, ``verify.py``.
"""
