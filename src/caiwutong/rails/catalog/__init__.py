"""The dated facts of every rail: limits, hours, fees, netting rounds, outages, working days.

A fact changes by notice, so it is data with validity and source, never a constant in a rule.
"""

from caiwutong.rails.catalog.facts import LIMITS, Limit, limit_on, within

__all__ = ["LIMITS", "Limit", "limit_on", "within"]
