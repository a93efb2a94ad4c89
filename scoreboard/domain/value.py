"""Value objects: the base of all values that the packages exchange.

Times are whole milliseconds since the Unix epoch (``_ms``), points are whole numbers within ±(2⁵³−1).
"""

from __future__ import annotations

import msgspec


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """A frozen, keyword-only value that is compared by its members."""
