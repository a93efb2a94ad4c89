"""Boundaries: Protocols between the packages. Each says what an implementation promises, and not how it does it.

Every method that waits is a coroutine, and no implementation blocks the reactor. The stores in ``storage/memory`` keep the same
promises; the same contract tests check them and the stores in SQL and Redis.
"""
