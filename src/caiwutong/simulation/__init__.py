"""The payments engine under simulated time: the real code, an invented world, every fault by seed.

``loop`` is the event loop whose time jumps, ``chance`` draws the faults, ``bank`` is the other
side with books of its own, ``network`` what lies between, ``house`` composes the real services over
memory stores, ``processes`` starts, crashes and restarts them, ``people`` are the callers,
``watch`` and ``judge`` hold the promises against what happens, ``mutants`` proves that they would
notice. Read next: ``run``.
"""
