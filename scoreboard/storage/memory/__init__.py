"""Stores in memory: twins that keep the same contracts, and that tests can tell to fail."""
