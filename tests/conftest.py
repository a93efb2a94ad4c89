"""Settings for all tests."""

from __future__ import annotations

import os
import sys

from hypothesis import settings

# CI tries the same examples each time; a developer's machine tries new ones.
settings.register_profile("build", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("build")


def pytest_sessionfinish() -> None:
    """Stop the thread pool of the reactor (it resolves names there): tests crash the reactor and never stop it."""
    reactor = sys.modules.get("twisted.internet.reactor")
    pool = getattr(reactor, "threadpool", None)
    if pool is not None:
        pool.stop()
