"""The truth: transactions on PostgreSQL, their memory twin, named queries, migrations.

A stage opens one transaction and hands it down as ``tx``; services take ``tx`` and never commit.
Stores come in pairs: ``store.py`` with its ``.sql`` for PostgreSQL, ``memory.py`` for the simulator
and fast tests, held together by one contract suite.
"""
