"""Tests of signed grants: no two grants have the same encoding, a signature has one spelling, a mismatch gets INVALID_ACTION."""

from __future__ import annotations

import base64
import uuid

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoreboard.domain import grants
from scoreboard.domain.actions import Metadata, Submission
from scoreboard.domain.grants import Grant, Keyring, keyring, sign, verify
from scoreboard.domain.refusals import INVALID_ACTION, Reason, Refusal
from scoreboard.domain.standings import POINTS_MAX

RING = keyring(b"k" * 32)
NOW = 1_800_000_000_000
PLAIN = Grant(
    action_id="6f1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d",
    user_id="user-123",
    action_type="COMPLETE_QUEST",
    issued_at_ms=NOW,
    not_before_ms=NOW,
    expires_at_ms=NOW + 600_000,
    points=100,
    metadata=(("questId", b'"quest-123"'),),
)


def submission(grant: Grant, signature: str, metadata: Metadata | None = None) -> Submission:
    return Submission(
        action_id=grant.action_id,
        action_type=grant.action_type,
        issued_at_ms=grant.issued_at_ms,
        metadata=grant.metadata if metadata is None else metadata,
        signature=signature,
    )


metadatas = st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=8) | st.booleans(), max_size=4).map(
    lambda given: tuple(sorted((key, msgspec.json.encode(value)) for key, value in given.items()))
)
times = st.integers(0, 2**48)
any_grant = st.builds(
    Grant,
    action_id=st.uuids(version=4).map(str),
    user_id=st.text("ab1-_.", min_size=1, max_size=6),
    action_type=st.text("AB12_", min_size=1, max_size=6),
    issued_at_ms=times,
    not_before_ms=times,
    expires_at_ms=times,
    points=st.integers(-POINTS_MAX, POINTS_MAX),
    metadata=metadatas,
    board_id=st.sampled_from(["global", "g", "lobal"]),
)


@given(st.tuples(st.text("ab", min_size=1, max_size=3), any_grant), st.tuples(st.text("ab", min_size=1, max_size=3), any_grant))
def test_two_different_grants_never_have_the_same_encoding(one: tuple[str, Grant], other: tuple[str, Grant]) -> None:
    assert (grants.encode(*one) == grants.encode(*other)) == (one == other)


@pytest.mark.parametrize(
    ("one", "other"),
    [(("user-1", "2X_BONUS", 1), ("user-12", "X_BONUS", 1)), (("u", "LEVEL1", 1698012345678), ("u", "LEVEL", 11698012345678))],
)
def test_grants_that_collide_under_plain_concatenation_have_different_encodings(
    one: tuple[str, str, int], other: tuple[str, str, int]
) -> None:
    def encoded(user_id: str, action_type: str, at: int) -> bytes:
        return grants.encode("k", msgspec.structs.replace(PLAIN, user_id=user_id, action_type=action_type, issued_at_ms=at))

    assert encoded(*one) != encoded(*other)


@given(any_grant)
def test_verify_returns_the_grant_that_was_signed(grant: Grant) -> None:
    assert verify(submission(grant, sign(grant, RING)), grant.user_id, RING, grant.issued_at_ms) == grant


def test_a_submission_may_add_metadata_that_the_grant_does_not_contain() -> None:
    more = tuple(sorted((*PLAIN.metadata, ("difficulty", b'"hard"'))))
    assert verify(submission(PLAIN, sign(PLAIN, RING), more), "user-123", RING, NOW) == PLAIN


@pytest.mark.parametrize(
    "changed",
    [
        {"action_id": str(uuid.UUID(int=5, version=4))},
        {"action_type": "WIN_MATCH"},
        {"issued_at_ms": NOW + 1},
        {"metadata": ()},
        {"metadata": (("questId", b'"quest-124"'),)},
        {"metadata": (("questid", b'"quest-123"'),)},
    ],
)
def test_a_changed_submission_gets_invalid_action(changed: dict[str, object]) -> None:
    submitted = msgspec.structs.replace(submission(PLAIN, sign(PLAIN, RING)), **changed)
    assert verify(submitted, "user-123", RING, NOW) is INVALID_ACTION


def test_another_user_gets_invalid_action() -> None:
    assert verify(submission(PLAIN, sign(PLAIN, RING)), "user-124", RING, NOW) is INVALID_ACTION


def test_a_grant_issued_more_than_two_seconds_in_the_future_is_too_early() -> None:
    submitted = submission(PLAIN, sign(PLAIN, RING))
    assert verify(submitted, "user-123", RING, NOW - 2_000) == PLAIN
    early = verify(submitted, "user-123", RING, NOW - 2_001)
    assert isinstance(early, Refusal)
    assert (early.reason, early.retry_after_s) == (Reason.ACTION_TOO_EARLY, 3)
    later = msgspec.structs.replace(PLAIN, not_before_ms=NOW + 8_000)
    early = verify(submission(later, sign(later, RING)), "user-123", RING, NOW - 300_000)
    assert isinstance(early, Refusal)
    assert early.retry_after_s == 308


CHANGES = st.sampled_from(
    ["action_id", "user_id", "action_type", "issued_at_ms", "not_before_ms", "expires_at_ms", "points", "board_id"]
)


@given(any_grant, any_grant, CHANGES, st.integers(0, 5))
def test_only_a_valid_signature_can_get_too_early(grant: Grant, other: Grant, change: str, flip: int) -> None:
    """Even in the future, a grant that differs from the signed one in any member gets INVALID_ACTION."""
    signature = sign(grant, RING)
    forged = msgspec.structs.replace(grant, **{change: getattr(other, change)})
    submitted, now_ms = submission(forged, signature), -3_000
    if change in ("not_before_ms", "expires_at_ms", "points", "board_id"):  # the signature contains these members
        _, kid, claims, _ = sign(forged, RING).split(".")
        submitted = msgspec.structs.replace(submitted, signature=".".join(("v1", kid, claims, signature.split(".")[3])))
    answer = verify(submitted, forged.user_id, RING, now_ms)
    assert isinstance(answer, Refusal)
    assert (answer.reason is Reason.ACTION_TOO_EARLY) == (forged == grant)
    version, kid, claims, mac = signature.split(".")
    raw = bytearray(base64.urlsafe_b64decode(mac + "="))
    raw[flip] ^= 1
    bad = ".".join((version, kid, claims, base64.urlsafe_b64encode(raw).rstrip(b"=").decode()))
    assert verify(submission(grant, bad), grant.user_id, RING, now_ms) is INVALID_ACTION
    assert verify(submission(grant, sign(grant, keyring(b"j" * 32))), grant.user_id, RING, now_ms) is INVALID_ACTION


def test_old_keys_verify_and_only_the_current_key_signs() -> None:
    old, new = b"o" * 32, b"n" * 32
    rotated = keyring(new, (old,))
    assert verify(submission(PLAIN, sign(PLAIN, keyring(old))), "user-123", rotated, NOW) == PLAIN
    assert sign(PLAIN, rotated).split(".")[1] == grants.key_id(new)
    assert verify(submission(PLAIN, sign(PLAIN, keyring(old))), "user-123", keyring(new), NOW) is INVALID_ACTION


def test_an_unknown_key_id_does_not_verify_with_an_empty_key() -> None:
    other_ring = Keyring(current="nobody", secrets={"nobody": b"\0" * 32})
    assert verify(submission(PLAIN, sign(PLAIN, other_ring)), "user-123", RING, NOW) is INVALID_ACTION


def other_spellings() -> list[str]:
    version, kid, claims, mac = sign(PLAIN, RING).split(".")
    raw = base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4))
    spaced = base64.urlsafe_b64encode(raw.replace(b",", b", ")).rstrip(b"=").decode()
    last = mac[:-1] + chr(ord(mac[-1]) + 1)
    return [
        "",
        "v1",
        f"v2.{kid}.{claims}.{mac}",
        f"{version}.{kid}.{claims}.{mac}.",
        f"{version}.{kid}.{claims}=.{mac}",
        f"{version}.{kid}.{claims}.{mac}=",
        f"{version}.{kid}.{claims}.{last}",
        f"{version}.{kid}.{claims}.{mac[:-4]}",
        f"{version}.{kid}.{spaced}.{mac}",
        f"{version}.{kid.upper()}X.{claims}.{mac}",
        f"{version}.{kid}.{claims}.{mac}\n",
        f"{version}.{kid}.é.{mac}",
        f"{version}.\ud800.{claims}.{mac}",
        f"{version}.{kid}.{claims}." + "A" * 5_000,
    ]


@pytest.mark.parametrize("signature", other_spellings())
def test_a_signature_in_another_spelling_gets_invalid_action(signature: str) -> None:
    assert verify(submission(PLAIN, signature), "user-123", RING, NOW) is INVALID_ACTION


@given(st.text())
def test_verify_raises_no_exception_for_any_signature(signature: str) -> None:
    assert verify(submission(PLAIN, signature), "user-123", RING, NOW) is INVALID_ACTION


@given(st.recursive(st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | st.text(), st.lists, max_leaves=6))
def test_verify_raises_no_exception_for_any_claims(claims: object) -> None:
    encoded = base64.urlsafe_b64encode(msgspec.json.encode(claims)).rstrip(b"=").decode()
    mac = base64.urlsafe_b64encode(b"m" * 32).rstrip(b"=").decode()
    assert verify(submission(PLAIN, f"v1.{RING.current}.{encoded}.{mac}"), "user-123", RING, NOW) is INVALID_ACTION


def test_the_repr_of_a_keyring_contains_no_secret() -> None:
    assert "kkkk" not in repr(RING)
