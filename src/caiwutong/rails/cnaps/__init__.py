"""What the CNAPS2 channels (IBPS, HVPS, BEPS) share: headers, signatures, layouts, words, the wire.

A channel is a ``Dialect``: its header, its shapes, where its signature stands. Everything else is
done once, here. Read in this order: ``messages`` (the words), ``shapes`` (their layouts), ``codec``
(bytes ↔ messages, used by both sides of the wire), ``reports`` (what a message says about our
payments), ``exchange`` and ``link`` (questions and answers over the wire), ``rail`` (the rail
contract as all three keep it).
"""
