"""Nobody moves money alone: standing mandates for machine callers, signatures for people.

Promises: an order inside a mandate takes exactly its amount from the day's limit, under any
concurrency; a request is decided once, by enough different people, none of them its maker; what was
signed is what is done (a changed subject loses its signatures). Read ``model`` (the words),
``rules`` (every decision, pure), ``signing`` and ``service`` (what they do).
"""
