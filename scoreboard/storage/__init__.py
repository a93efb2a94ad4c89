"""The stores: the ledger in SQL, which decides; the board in Redis, which is a copy; and both in memory, mainly for tests."""
