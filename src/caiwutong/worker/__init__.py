"""The workers: what goes on in the background, over the same services as the API.

``outbox`` publishes sealed events to the broker, ``inbox`` consumes them with exactly-once effect.
"""
