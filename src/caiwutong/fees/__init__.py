"""Fees: what the banks took for our payments, held against what they should have taken.

Promises: every fee line of a statement is judged by itself and told with its reason; nothing is
booked or claimed back here. What should be taken comes from the dated tariffs of the catalog; where
none is recorded the answer is *no tariff*, never a guess. Read ``model`` (the reasons), ``rules``
(the judgement, pure), ``service``.
"""
