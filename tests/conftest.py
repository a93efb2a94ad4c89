"""For all tests."""

from __future__ import annotations

import os

from hypothesis import settings

# Whoever builds tries the same examples each time; whoever develops tries new ones.
settings.register_profile("build", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("build")
