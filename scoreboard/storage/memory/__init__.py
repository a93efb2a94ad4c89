"""Stores in memory: they keep the same contracts as the stores in SQL and Redis, and tests can make them fail."""
