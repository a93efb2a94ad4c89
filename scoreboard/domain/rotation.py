"""Key rotation: chooses the key with which a server signs while other servers may not know all of its keys."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from scoreboard.domain.grants import Keyring
from scoreboard.domain.value import Value


class KnownKeys(Value, frozen=True, kw_only=True):
    """The key ids of one server's ring, which reveal nothing of the keys: its signing key, and all keys that it accepts."""

    signs: str
    verifies: tuple[str, ...]


class ServerKeys(Value, frozen=True, kw_only=True):
    """The keys of one server: for actions, and for tokens."""

    actions: KnownKeys
    tokens: KnownKeys


def known_keys(ring: Keyring) -> KnownKeys:
    """The public part of a ring, for other servers."""
    return KnownKeys(signs=ring.current, verifies=tuple(ring.secrets))


def agreed(ring: Keyring, others: Sequence[KnownKeys]) -> Keyring:
    """The ring with a signing key that all other servers accept: the current one if possible. Unchanged if they share no key."""
    common = [kid for kid in (ring.current, *ring.secrets) if all(kid in other.verifies for other in others)]
    return msgspec.structs.replace(ring, current=common[0]) if common else ring
