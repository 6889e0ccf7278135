"""The enterprise's other systems: what leaves the house for them, and how they are told.

``feed`` says what of the sealed audit log leaves the house; ``webhooks`` delivers it to addresses
the enterprise names: ``webhooks/model`` (words), ``rules`` (pure), ``store`` (rows), ``service``
(create, rotate, replay), ``delivery`` (the sending).
"""
