"""Key rotation: which of its keys a server may sign with while other servers run that may not know all of them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from scoreboard.domain.grants import Keyring
from scoreboard.domain.value import Value


class KnownKeys(Value, frozen=True, kw_only=True):
    """The key ids of one server's ring, which tell nothing of its keys: the one it is set to sign with, and all it verifies."""

    signs: str
    verifies: tuple[str, ...]


class ServerKeys(Value, frozen=True, kw_only=True):
    """The keys of one server: for actions, and for tokens."""

    actions: KnownKeys
    tokens: KnownKeys


def known_keys(ring: Keyring) -> KnownKeys:
    """What other servers may know of a ring."""
    return KnownKeys(signs=ring.current, verifies=tuple(ring.secrets))


def agreed(ring: Keyring, others: Sequence[KnownKeys]) -> Keyring:
    """The ring, signing with a key that all others verify: its current one if possible; as it is when they share none."""
    common = [kid for kid in (ring.current, *ring.secrets) if all(kid in other.verifies for other in others)]
    return msgspec.structs.replace(ring, current=common[0]) if common else ring
