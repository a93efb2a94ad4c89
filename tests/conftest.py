"""For all tests."""

from __future__ import annotations

import os
import sys

from hypothesis import settings

# Whoever builds tries the same examples each time; whoever develops tries new ones.
settings.register_profile("build", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("build")


def pytest_sessionfinish() -> None:
    """End the reactor's threads (it looks up names in them): tests crash the reactor and never stop it."""
    reactor = sys.modules.get("twisted.internet.reactor")
    pool = getattr(reactor, "threadpool", None)
    if pool is not None:
        pool.stop()
