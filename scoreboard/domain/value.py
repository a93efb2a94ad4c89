"""Value objects: the base of all that the program's parts hand to each other.

Times are whole milliseconds since the Unix epoch (``_ms``), points are whole numbers within ±(2⁵³−1).
"""

from __future__ import annotations

import msgspec


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """A frozen value: keyword-only, compared by what it holds."""
