"""Routing: which account and channel, and why. Pure: see ``model``, then ``decide``."""
