"""Routing: which account and channel, and why. Pure; see ``rules``."""
