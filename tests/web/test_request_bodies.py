"""Request bodies: the JSON that is accepted, its canonical form, and the member that a refusal names."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoreboard.domain.actions import ACTION_ID, Submission
from scoreboard.domain.refusals import Reason, Refusal, Refused
from scoreboard.web.canonical import canonical
from scoreboard.web.query_params import BoardQuery, read_board_query
from scoreboard.web.request_bodies import ActionId, read_initialize, read_submission

JSON = b"application/json"
GOOD: dict[str, Any] = {
    "actionId": "9b2f6f0e-4a52-4c1d-8f5e-2f1f1d0a7c11",
    "actionType": "COMPLETE_QUEST",
    "timestamp": 1_698_012_345_678,
    "metadata": {"questId": "quest-123", "difficulty": "hard"},
    "signature": "v1.a.b.c",
}


def refusal_of(body: bytes, content_type: bytes = JSON) -> Refusal:
    with pytest.raises(Refused) as caught:
        read_submission(content_type, body)
    return caught.value.refusal


def with_metadata(raw: bytes) -> bytes:
    """A good body whose metadata member `x` is these bytes."""
    return json.dumps({**GOOD, "metadata": {"x": 0}}).encode().replace(b'{"x": 0}', b'{"x": ' + raw + b"}")


def test_the_specifications_example_is_read() -> None:
    assert read_submission(JSON, json.dumps(GOOD).encode()) == Submission(
        action_id=GOOD["actionId"],
        action_type="COMPLETE_QUEST",
        issued_at_ms=1_698_012_345_678,
        metadata=(("difficulty", b'"hard"'), ("questId", b'"quest-123"')),
        signature="v1.a.b.c",
    )


@pytest.mark.parametrize(
    "spelled", ["1795638476151.0", "1.795638476151e12", "17956384761510e-1", "1795638476151.000E0", "1795638476151"]
)
def test_a_whole_number_may_be_written_with_a_point_or_an_exponent(spelled: str) -> None:
    body = json.dumps({**GOOD, "metadata": {"n": 2, "t": "é"}}).replace(str(GOOD["timestamp"]), spelled)
    read = read_submission(JSON, body.encode())
    assert (read.issued_at_ms, type(read.issued_at_ms)) == (1_795_638_476_151, int)
    assert read.metadata == (("n", b"2"), ("t", '"é"'.encode()))


@given(st.integers(1, 2**53 - 1), st.integers(0, 3), st.sampled_from("eE"))
def test_every_spelling_of_a_whole_number_is_one_number(number: int, zeros: int, e: str) -> None:
    digits = str(number)
    for spelled in (
        f"{digits}.{'0' * (zeros + 1)}",
        f"{digits[0]}.{digits[1:] or '0'}{e}+{len(digits) - 1}",
        f"{digits}{'0' * zeros}{e}-{zeros}",
    ):
        body = json.dumps(GOOD).replace(str(GOOD["timestamp"]), spelled)
        assert read_submission(JSON, body.encode()).issued_at_ms == number


@pytest.mark.parametrize("spelled", ["1.5", "1e-1", "-1.0", "9007199254740992.0", "9.1e15", "1e300", '"1.0"'])
def test_a_number_that_is_not_whole_or_too_large_is_refused_by_name(spelled: str) -> None:
    refusal = refusal_of(json.dumps(GOOD).replace(str(GOOD["timestamp"]), spelled).encode())
    assert (refusal.reason, refusal.field) == (Reason.MALFORMED_REQUEST, "timestamp")


@pytest.mark.parametrize(
    "tail",
    [
        ', "timestamp": 1.0}',
        ', "metadata": {"a": "\\ud800"}}',
        ', "metadata": {"a": NaN}}',
        ', "metadata": {"a": 1e400}}',
        "",
        "}}",
        ', "metadata": {"a": 1, "a": 1}}',
    ],
)
def test_a_number_with_a_point_makes_no_wrong_body_right(tail: str) -> None:
    good = json.dumps({**GOOD, "timestamp": 1.0, "metadata": {}}).replace(', "metadata": {}', "")
    assert read_submission(JSON, good.encode()).issued_at_ms == 1
    assert refusal_of((good[:-1] + tail).encode()).reason is Reason.MALFORMED_REQUEST


def test_metadata_may_be_left_out() -> None:
    assert read_initialize(JSON, b'{"actionType": "LOGIN"}').metadata == ()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"actionId": 5}, "actionId"),
        ({"actionId": GOOD["actionId"].upper()}, "actionId"),
        ({"actionId": "{" + GOOD["actionId"] + "}"}, "actionId"),
        ({"actionId": "urn:uuid:" + GOOD["actionId"]}, "actionId"),
        ({"actionId": GOOD["actionId"].replace("-", "")}, "actionId"),
        ({"actionId": GOOD["actionId"] + "\n"}, "actionId"),
        ({"actionId": "9b2f6f0e-4a52-1c1d-8f5e-2f1f1d0a7c11"}, "actionId"),
        ({"actionId": None}, "actionId"),
        ({"actionType": ""}, "actionType"),
        ({"actionType": "A" * 65}, "actionType"),
        ({"actionType": ["COMPLETE_QUEST"]}, "actionType"),
        ({"timestamp": "1698012345678"}, "timestamp"),
        ({"timestamp": 1698012345678.5}, "timestamp"),
        ({"timestamp": True}, "timestamp"),
        ({"timestamp": -1}, "timestamp"),
        ({"timestamp": 2**53}, "timestamp"),
        ({"timestamp": 10**400}, "timestamp"),
        ({"signature": ""}, "signature"),
        ({"signature": "x" * 2049}, "signature"),
        ({"signature": None}, "signature"),
        ({"metadata": []}, "metadata"),
        ({"metadata": None}, "metadata"),
        ({"metadata": "{}"}, "metadata"),
        ({"metadata": {str(n): n for n in range(33)}}, "metadata"),
        ({"metadata": {"a": 2**53 + 1}}, "metadata.a"),
        ({"metadata": {"a": {"b": [10**400]}}}, "metadata.a"),
        ({"metadata": {"a": "\0"}}, "metadata.a"),
        ({"metadata": {"a": {"\0": 1}}}, "metadata.a"),
        ({"metadata": {"a\0": 1}}, "metadata.a\0"),
        ({"userId": "user-1"}, "userId"),
        ({"points": 1_000_000}, "points"),
        ({"x" * 500: 1}, "x" * 64),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_the_member_at_fault_is_named(change: dict[str, Any], field: str) -> None:
    refusal = refusal_of(json.dumps({**GOOD, **change}).encode())
    assert (refusal.reason, refusal.field) == (Reason.MALFORMED_REQUEST, field)
    assert refusal.message


@pytest.mark.parametrize("missing", ["actionId", "actionType", "timestamp", "signature"])
def test_the_member_that_is_missing_is_named(missing: str) -> None:
    body = {name: value for name, value in GOOD.items() if name != missing}
    refusal = refusal_of(json.dumps(body).encode())
    assert (refusal.field, refusal.message) == (missing, "is required")


@pytest.mark.parametrize(
    "raw",
    [
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b"1e400",
        b"-1e400",
        b"01",
        b"1.",
        b".5",
        b"+1",
        b"0x1",
        b"1_0",
        b"'a'",
        b"tru",
        b"undefined",
        b'"\\ud800"',
        b'"\\udc00\\ud800"',
        b'"\\x41"',
        b'"\\u00"',
        b'"\x01"',
        b'"\t"',
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b'"\xc0\xaf"',
        b'"',
        b"[1,]",
        b"[,1]",
        b"[1",
        b'{"a":1,}',
        b'{"a"}',
        b"{a:1}",
        b"{1:1}",
        b"/**/1",
        b"1 // x",
        b"\x00",
        b"\xef\xbb\xbf1",
        b"1" * 5000,
        b'1, "x": 2',
        b'{"a": 1, "a": 1}',
        b'{"a": 1, "\\u0061": 2}',
        b'[{"b": {"c": 1, "c": 1}}]',
        b"[" * 17 + b"]" * 17,
        b"[" * 2000 + b"]" * 2000,
        b"[" * 8000,
        b'{"a":' * 2000 + b"1" + b"}" * 2000,
    ],
    ids=lambda raw: repr(raw[:24]),
)
def test_ambiguous_json_is_refused(raw: bytes) -> None:
    assert refusal_of(with_metadata(raw)).reason is Reason.MALFORMED_REQUEST


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"null",
        b"[]",
        b"1",
        b'"a"',
        b"{",
        b"{}{}",
        b"{}x",
        b"\xff",
        b"\xff\xfe{\x00}\x00",
        "{}".encode("utf-16"),
        b"[" * 200_000,
    ],
)
def test_a_body_that_is_not_one_json_object_is_refused(body: bytes) -> None:
    assert refusal_of(body).reason is Reason.MALFORMED_REQUEST


@pytest.mark.parametrize(
    "content_type",
    [
        b"",
        b"text/plain",
        b"application/x-www-form-urlencoded",
        b"multipart/form-data; boundary=x",
        b"application/jsonp",
        b"json",
        b"application",
    ],
)
def test_only_json_is_read(content_type: bytes) -> None:
    assert refusal_of(json.dumps(GOOD).encode(), content_type).reason is Reason.UNSUPPORTED_MEDIA_TYPE


@pytest.mark.parametrize("content_type", [b"application/json; charset=utf-8", b"Application/JSON", b"application/json ;x"])
def test_the_content_type_may_have_a_charset(content_type: bytes) -> None:
    assert read_submission(content_type, json.dumps(GOOD).encode())


@pytest.mark.parametrize(
    ("spelt", "kept"),
    [
        (b"1", b"1"),
        (b"1.0", b"1"),
        (b"1e0", b"1"),
        (b"10E-1", b"1"),
        (b"-0", b"0"),
        (b"-0.0", b"0"),
        (b"1.5e3", b"1500"),
        (b"0.1", b"0.1"),
        (b"1E-1", b"0.1"),
        (b"9007199254740991", b"9007199254740991"),
        (b"9007199254740991.0", b"9007199254740991"),
        (b"9007199254740992", b"9007199254740992.0"),
        (b"1e20", b"1e20"),
        (b"100000000000000000000", b"1e20"),
        (b'"\\u0041\\/"', b'"A/"'),
        (b'"\\ud83d\\ude00"', '"\U0001f600"'.encode()),
        (b'{"b": 1, "a": [ 2.0 , null,true ]}', b'{"a":[2,null,true],"b":1}'),
    ],
)
def test_one_value_has_one_spelling(spelt: bytes, kept: bytes) -> None:
    assert read_submission(JSON, with_metadata(spelt)).metadata == (("x", kept),)


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
values = st.recursive(
    scalars.filter(lambda value: not isinstance(value, str) or "\0" not in value),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text().filter(lambda key: "\0" not in key), inner, max_size=4),
    max_leaves=10,
)
members = st.dictionaries(st.text().filter(lambda key: "\0" not in key), values, max_size=8)


@given(members)
def test_metadata_that_a_client_sends_back_are_equal(given_members: dict[str, Any]) -> None:
    _, first = canonical(given_members)
    echoed = msgspec.json.decode(b"{" + b",".join(msgspec.json.encode(key) + b":" + value for key, value in first) + b"}")
    assert canonical(echoed)[1] == first
    assert [key for key, _ in first] == sorted(given_members)


@given(
    st.dictionaries(
        st.text(), st.floats(allow_nan=False, allow_infinity=False).map(lambda x: int(x) if x.is_integer() else x), max_size=3
    )
)
def test_equal_integers_and_floats_are_one_value(numbers: dict[str, Any]) -> None:
    numbers = {key.replace("\0", ""): number for key, number in numbers.items()}
    assert canonical(numbers)[1] == canonical({key: float(number) for key, number in numbers.items()})[1]


@given(st.binary(max_size=300))
def test_any_bytes_are_at_worst_a_refusal(raw: bytes) -> None:
    for body in (raw, with_metadata(raw), json.dumps(GOOD).encode() + raw):
        try:
            read_submission(JSON, body)
        except Refused:
            continue


@given(st.text(max_size=40))
def test_the_domain_and_the_api_accept_the_same_action_ids(text: str) -> None:
    for candidate in (text, GOOD["actionId"] + text):
        try:
            msgspec.convert(candidate, ActionId)
            fits = True
        except msgspec.ValidationError:
            fits = False
        assert fits == (ACTION_ID.fullmatch(candidate) is not None)


@pytest.mark.parametrize(
    ("query", "rank_range"),
    [
        (b"", (10, 0)),
        (b"limit=1", (1, 0)),
        (b"limit=100&offset=10000", (100, 10_000)),
        (b"offset=0&limit=7", (7, 0)),
        (b"unknown=1&limit=3", (3, 0)),
        (b"&", (10, 0)),
    ],
)
def test_a_range_is_read(query: bytes, rank_range: tuple[int, int]) -> None:
    asked = read_board_query(query)
    assert (asked.limit, asked.offset) == rank_range


@pytest.mark.parametrize("name", ["limit", "offset"])
@pytest.mark.parametrize(
    "text",
    [
        "",
        "-5",
        "+5",
        "05",
        "5.0",
        "1e1",
        "0x5",
        "1_0",
        " 5",
        "5 ",
        "%35",
        "\xb2",
        "true",
        "10001",
        "99999999999999999999",
        "5&{}=5",
    ],
)
def test_a_range_is_strict_decimals_within_limits(name: str, text: str) -> None:
    with pytest.raises(Refused) as caught:
        read_board_query(f"{name}={text}".format(name).encode("latin-1"))
    assert (caught.value.refusal.reason, caught.value.refusal.field) == (Reason.MALFORMED_REQUEST, name)


def test_a_limit_of_0_or_101_is_refused() -> None:
    for query in (b"limit=0", b"limit=101"):
        with pytest.raises(Refused):
            read_board_query(query)


@pytest.mark.parametrize(
    ("query", "board_id", "bucket"),
    [
        (b"", "global", None),
        (b"board=weekly", "weekly", None),
        (b"period=daily", "daily", None),
        (b"period=weekly", "weekly", None),
        (b"period=monthly", "monthly", None),
        (b"period=alltime", "global", None),
        (b"board=daily&bucket=2026-11-25", "daily", "2026-11-25"),
        (b"board=six&bucket=2026-11-25T06%3A00Z", "six", "2026-11-25T06:00Z"),
        (b"board=six&bucket=2026-11-25T06:00Z", "six", "2026-11-25T06:00Z"),
        (b"board=%ff%00", "\ufffd\0", None),
    ],
)
def test_a_board_and_its_bucket_are_read(query: bytes, board_id: str, bucket: str | None) -> None:
    assert read_board_query(query) == BoardQuery(limit=10, offset=0, board_id=board_id, bucket=bucket)


@pytest.mark.parametrize(
    ("query", "name"),
    [
        (b"board=daily&board=daily", "board"),
        (b"bucket=a&bucket=a", "bucket"),
        (b"period=hourly", "period"),
        (b"period=", "period"),
        (b"period=daily&board=daily", "period"),
    ],
)
def test_a_board_is_named_once(query: bytes, name: str) -> None:
    with pytest.raises(Refused) as caught:
        read_board_query(query)
    assert (caught.value.refusal.reason, caught.value.refusal.field) == (Reason.MALFORMED_REQUEST, name)
