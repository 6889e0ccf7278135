"""Measures the house beside the database it stands on, on this machine, in one run.

``cli`` is ``caiwutong bench``; ``baseline`` is pgbench's TPC-B on the same PostgreSQL; ``ledger``,
``engine``, ``intake`` and ``lifecycle`` are the benches; ``results`` is what they give back. Each
bench checks that its work was right before its figures count. Read next: ``results``.
"""
