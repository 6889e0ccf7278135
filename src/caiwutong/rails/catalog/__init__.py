"""The dated facts of every rail: limits, hours, fees, netting rounds, outages, working days.

A fact changes by notice, so it is data with validity and source, never a constant in a rule.
``model`` has the words, ``rules`` the questions (a ``Catalog`` value), ``facts`` what is shipped.
"""

from caiwutong.rails.catalog.model import Closed, Limit, Open, Unknown
from caiwutong.rails.catalog.rules import Catalog, limit_on, shipped, within

__all__ = ["Catalog", "Closed", "Limit", "Open", "Unknown", "limit_on", "shipped", "within"]
