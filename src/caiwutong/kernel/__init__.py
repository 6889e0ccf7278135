"""The words every context shares: money, order, ids, clock, identifiers, errors. All of it pure."""
