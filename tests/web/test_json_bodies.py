"""Bodies that are JSON and bodies that only look like it: the kinds of texts that suites of JSON parsers collect."""

from __future__ import annotations

import json

import pytest

from tests.web.harness import Harness, Reply

SUBMIT = "/api/v1/scores/submit"
VALID = (
    *(b"null", b"true", b"0", b"-0", b"1e5", b"1E+2", b"0.5e-3", b"123.456", b"-1.5", b"9007199254740991"),
    *(b'""', b'"\\u00e9\\n\\t\\/\\""', '"\u20ac \U0001f600"'.encode(), b'"\\ud83d\\ude00"', b'"\x7f"', '"\ufeff"'.encode()),
    *(b"[]", b" [ 1 , 2 ] ", b"[[[[]]]]", b"{}", b'{"a":{"b":[null]}}', b'{"":0}', b"[1,\t2,\r\n3]"),
)
INVALID = (
    *(b"", b"nul", b"True", b"NaN", b"Infinity", b"-Infinity", b"undefined", b"01", b"-01", b"+1", b"1.", b".5", b"1e", b"1e+"),
    *(b"0x1", b"1_000", b"- 1", b"--1", b"1,000", "\uff11".encode(), b"1 2", b"Inf", b"-"),
    *(
        b'"',
        b"'a'",
        b'"\\x41"',
        b'"\\u12"',
        b'"\\"',
        b'"\n"',
        b'"\t"',
        b'"\x00"',
        b'"\\a"',
        b'"\xff"',
        b'"\xc0\xaf"',
        b'"\xed\xa0\x80"',
    ),
    *(b'"\\ud800"', b'"\\udc00\\ud800"', b'"a" "b"', b"a"),
    *(
        b"[",
        b"]",
        b"[1",
        b"[1,]",
        b"[,1]",
        b"[1,,2]",
        b"[1 2]",
        b"[1:2]",
        b"[1}",
        b"[*]",
        b"[\x0c]",
        "[\u2060]".encode(),
        b"[\xa0]",
    ),
    *(b"{", b"}", b'{"a"}', b'{"a":}', b'{"a":1,}', b'{,"a":1}', b'{"a" 1}', b"{a:1}", b'{"a":1 "b":2}', b'{"a":1]', b"{1:1}"),
    *(b'{"a":1,"a":1}', b"1//", b"/*1*/", b"1#", b"[" * 5_000, b'{"a":' * 2_000, b'"a"\x00', b"<null>", b"\\u000a1"),
)


def submitted(value: bytes) -> Reply:
    harness = Harness()
    metadata = b'{"questId":"quest-123","more":%b}' % value
    body = json.dumps(harness.initialized() | {"metadata": None}).encode().replace(b"null", metadata)
    return harness.ask("POST", SUBMIT, raw=body)


@pytest.mark.parametrize("value", VALID)
def test_json_is_read(value: bytes) -> None:
    assert submitted(value).status == 200


@pytest.mark.parametrize("value", INVALID, ids=lambda value: repr(value[:20]))
def test_what_is_not_json_is_refused(value: bytes) -> None:
    assert (submitted(value).status, submitted(value).json["error"]) == (400, "MALFORMED_REQUEST")


@pytest.mark.parametrize("value", [*VALID, *INVALID], ids=lambda value: repr(value[:20]))
def test_no_text_as_a_whole_body_is_a_fault(value: bytes) -> None:
    assert Harness().ask("POST", SUBMIT, raw=value).status == 400
