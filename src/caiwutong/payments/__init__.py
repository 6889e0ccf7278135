"""Payments: the engine.

Follow one: ``intake`` (takes the order and the hold) → ``dispatch`` (writes the attempt, then
sends) → ``settlement`` (what the rail said) ← ``recovery`` (asks when it is silent); ``requests``
(cancel, revoke, ask for a return); ``views`` (what people see). The life is one table: ``states``.
"""
