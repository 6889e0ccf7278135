"""Caiwutong (财务通): a self-hosted payment hub and treasury platform for Chinese enterprises.

ARCHITECTURE.md is the map. To follow a payment, start at ``api/payments.py``.
"""

__version__ = "0.1.0"
