"""The house on both stores."""

from support.house import house, memory_house, postgres_house

__all__ = ["house", "memory_house", "postgres_house"]
