"""How long the examples wait before they try again."""

import random
import re


def wait_s(attempt: int, retry_after: str | None = None) -> float:
    """The seconds to wait, 0.5 to 30: about 1 s, doubled with each attempt, or what Retry-After asks for.

    The random part keeps clients that were refused together from coming back together.
    """
    backoff = min(20, 2 ** min(attempt, 5)) * random.uniform(0.5, 1.5)
    number = re.match(r"\s*\d{1,9}(\.\d+)?", retry_after or "")  # a date or nonsense counts as 0
    asked = min(24, float(number[0]) if number else 0) * random.uniform(1, 1.25)
    return max(backoff, asked)
