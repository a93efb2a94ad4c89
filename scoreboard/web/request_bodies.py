"""Request bodies: strict decoders from JSON to values. No other module sees dicts, bytes or camelCase of a request."""

from __future__ import annotations

import codecs
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta

from scoreboard.domain.actions import Metadata, Submission
from scoreboard.domain.grants import SIGNATURE_CHARS_MAX
from scoreboard.domain.players import PlayerSettings
from scoreboard.domain.refusals import Reason, Refusal, Refused, malformed
from scoreboard.domain.standings import POINTS_MAX
from scoreboard.domain.value import Value
from scoreboard.json_complaints import WRONG_FORM, complaint
from scoreboard.strict_json import decode_json
from scoreboard.web.canonical import canonical

ActionType = Annotated[str, Meta(min_length=1, max_length=64, examples=["COMPLETE_QUEST"])]
#: The one spelling of a version-4 UUID that is accepted (actions.ACTION_ID).
ActionId = Annotated[
    str,
    Meta(
        max_length=36,  # `$` alone would accept a line feed at the end
        pattern="^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$",
        examples=["9b2f6f0e-4a52-4c1d-8f5e-2f1f1d0a7c11"],
    ),
]
Members = Annotated[dict[str, Any], Meta(max_length=32)]


class InitializeRequest(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """The body of a request to begin an action."""

    action_type: ActionType
    metadata: Members = msgspec.field(default_factory=dict)


class SubmitRequest(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """The body of a submission. ``timestamp`` is the issue time that `initialize` returned, echoed."""

    action_id: ActionId
    action_type: ActionType
    timestamp: Annotated[int, Meta(ge=0, le=POINTS_MAX)]
    signature: Annotated[str, Meta(min_length=1, max_length=SIGNATURE_CHARS_MAX)]
    metadata: Members = msgspec.field(default_factory=dict)


class SettingsRequest(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """The body of a change of settings: all settings of a player."""

    spectators: bool


class InitializeOrder(Value, frozen=True, kw_only=True):
    """The action that a player wants to begin. ``values`` are the metadata as values, which the rules check."""

    action_type: str
    metadata: Metadata
    values: dict[str, Any]


Body = TypeVar("Body", InitializeRequest, SubmitRequest, SettingsRequest)

_wish: Final = msgspec.json.Decoder(InitializeRequest)
_submission: Final = msgspec.json.Decoder(SubmitRequest)
_settings: Final = msgspec.json.Decoder(SettingsRequest)


def read_initialize(content_type: bytes, body: bytes) -> InitializeOrder:
    """The body of an initialization; raises Refused."""
    asked = _decoded(_wish, content_type, body)
    values, metadata = canonical(asked.metadata)
    return InitializeOrder(action_type=asked.action_type, metadata=metadata, values=values)


def read_submission(content_type: bytes, body: bytes) -> Submission:
    """The body of a submission; raises Refused."""
    asked = _decoded(_submission, content_type, body)
    return Submission(
        action_id=asked.action_id,
        action_type=asked.action_type,
        issued_at_ms=asked.timestamp,
        metadata=canonical(asked.metadata)[1],
        signature=asked.signature,
    )


def read_settings(content_type: bytes, body: bytes) -> PlayerSettings:
    """The body of a change of settings; raises Refused."""
    return PlayerSettings(spectators=_decoded(_settings, content_type, body).spectators)


_UTF_16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def _decoded(decoder: msgspec.json.Decoder[Body], content_type: bytes, body: bytes) -> Body:
    if content_type != b"application/json" and content_type.partition(b";")[0].strip().lower() != b"application/json":
        raise Refused(Refusal(reason=Reason.UNSUPPORTED_MEDIA_TYPE, message="The body must be application/json, not compressed"))
    if body.startswith(_UTF_16):
        raise Refused(malformed("body", "begins with a byte order mark of UTF-16; JSON is UTF-8"))
    body = body.removeprefix(codecs.BOM_UTF8)  # RFC 8259, 8.1: a reader may ignore it
    if not body.strip():
        raise Refused(malformed("body", "is empty; send a JSON object"))
    try:
        return decode_json(decoder, body)
    except (ValueError, RecursionError) as error:
        field, message = complaint(error, "body")
        if field == "actionId" and message == WRONG_FORM:
            message = "must be a version-4 UUID, in lower case with dashes"
        raise Refused(malformed(field, message)) from None
