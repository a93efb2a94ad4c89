"""All generators of forged tokens. The import of a module registers its generators."""

from __future__ import annotations

from tests.attack import forged_claims, forged_headers, forged_spellings
from tests.attack.generators import TOKENS

assert {forged_claims, forged_headers, forged_spellings}

FORGERS = TOKENS.by_name
forged = TOKENS.any
