"""Forged tokens: a valid signature over claims that must be refused."""

from __future__ import annotations

import json
import math
from typing import Any

from hypothesis import strategies as st

from tests.attack.generators import TOKENS, anything, other_spellings, with_name_twice
from tests.attack.instance import ROLES, Claims, Instance, compact


@TOKENS.add
def claim_twice(instance: Instance, now_s: int) -> st.SearchStrategy[str]:
    """Any claim name twice, known or unknown, also inside another claim; with the same value or another."""
    claims = instance.claims(now_s, avatar="https://cdn.example/a.png", team={"name": "red"})
    better = {"role": "admin", "userId": "bob", "exp": now_s + 6000, "iss": instance.issuer}
    header = {"alg": "HS256"}

    def sign(name: str, same: bool, first: bool) -> str:
        value = claims[name] if same else better.get(name, claims[name])
        return compact(header, with_name_twice(claims, name, value, first), instance.secret.encode())

    inside = '{"name": "red", "name": "blue"}'
    nested = compact(header, json.dumps(claims).replace(json.dumps(claims["team"]), inside), instance.secret.encode())
    escaped = compact(header, json.dumps(claims)[:-1] + ', "\\u0072ole": "admin"}', instance.secret.encode())
    return st.builds(sign, st.sampled_from(list(claims)), st.booleans(), st.booleans()) | st.sampled_from([nested, escaped])


@TOKENS.add
def claim_of_a_wrong_type(instance: Instance, now_s: int) -> st.SearchStrategy[str]:
    """Claims as numbers in text, text as numbers, null or lists, and times that are no number of seconds."""
    later = now_s + 600
    no_text: st.SearchStrategy[Any] = st.sampled_from([None, 1, True, [], {}, ["amy"], 1.5])
    numbers = [-1, -0.5, 2**64, 10**400, 1e300, math.inf, math.nan]
    no_time: st.SearchStrategy[Any] = st.sampled_from(
        [None, True, False, str(later), "", [later], {}, f"{later}.0", "1e400", *numbers]
    )
    wrong: list[st.SearchStrategy[Claims]] = [
        st.tuples(st.sampled_from(["userId", "username", "role"]), no_text).map(lambda pair: {pair[0]: pair[1]}),
        st.tuples(st.sampled_from(["iat", "exp", "nbf"]), no_time).map(lambda pair: {pair[0]: pair[1]}),
        st.sampled_from(["", "\0", "a\nb", "a b", "\x1b[31m", "a" * 300, "\u202e"]).map(lambda text: {"userId": text}),
        st.sampled_from(["", "a" * 65]).map(lambda text: {"username": text}),
        st.sampled_from([1, True, [], {}, ["x"]]).map(lambda value: {"iss": value}),
        st.sampled_from([1, True, [1], {}, {"scoreboard": 1}]).map(lambda value: {"aud": value}),
    ]
    none = anything.filter(lambda claims: not isinstance(claims, dict))
    return st.one_of(wrong).map(
        lambda claims: compact({"alg": "HS256"}, instance.claims(now_s, **claims), instance.secret.encode())
    ) | none.map(lambda claims: compact({"alg": "HS256"}, claims, instance.secret.encode()))


@TOKENS.add
def claim_missing(instance: Instance, now_s: int) -> st.SearchStrategy[str]:
    claims = instance.claims(now_s)
    gone = st.sets(st.sampled_from(list(claims)), min_size=1)
    return gone.map(
        lambda names: compact(
            {"alg": "HS256"}, {name: claims[name] for name in claims if name not in names}, instance.secret.encode()
        )
    )


@TOKENS.add
def role_in_another_spelling(instance: Instance, now_s: int) -> st.SearchStrategy[str]:
    others = st.sampled_from(["root", "superuser", "Administrator", "*", "user admin", "user,admin", "moderator", "0"])
    roles = (others | st.one_of([other_spellings(role) for role in ROLES]) | st.text(max_size=10)).filter(
        lambda role: role not in ROLES
    )
    lists: st.SearchStrategy[Any] = st.sampled_from([["admin"], ["user", "admin"], {"admin": True}])
    return (roles | lists).map(
        lambda role: compact({"alg": "HS256"}, instance.claims(now_s, role=role), instance.secret.encode())
    )


@TOKENS.add
def time_outside_a_limit(instance: Instance, now_s: int) -> st.SearchStrategy[str]:
    """Tokens that end at this second, that are not valid yet, that end before they begin, or that are valid for too long."""
    longer, ahead_s = st.integers(1, 10**6), 61 + instance.slack_s
    wrong: st.SearchStrategy[Claims] = st.one_of(
        longer.map(lambda s: {"exp": now_s - s + 1, "iat": now_s - s - 60}),
        st.sampled_from([0, 1, 29, 30, 59, 60]).map(lambda s: {"exp": now_s - s, "iat": now_s - 90}),
        st.sampled_from([0, 1, 60, 3600]).map(lambda s: {"iat": now_s + ahead_s + s, "exp": now_s + ahead_s + s + 600}),
        st.sampled_from([0, 1, 60, 500]).map(lambda s: {"nbf": now_s + ahead_s + s}),
        st.floats(0.001, 0.999).map(lambda fraction: {"exp": now_s + fraction, "iat": now_s - 90}),
        longer.map(lambda s: {"iat": now_s - 5, "exp": now_s - 5 + instance.life_s_max + s}),
        longer.map(lambda s: {"iat": now_s + 50, "exp": now_s + 50 - s}),
        st.just({"iat": now_s + 50, "exp": now_s + 50}),
    )
    return wrong.map(lambda times: compact({"alg": "HS256"}, instance.claims(now_s, **times), instance.secret.encode()))


@TOKENS.add
def token_of_another_instance(instance: Instance, now_s: int) -> st.SearchStrategy[str]:
    """Tokens of another game with our secret: another issuer or audience, or none."""
    near = [
        "",
        "https://login.example/",
        "https://LOGIN.example",
        "http://login.example",
        "https://login.example.evil",
        None,
        "*",
    ]
    issuers = st.sampled_from(near) | st.text(max_size=30)
    audiences = st.sampled_from(["", "Scoreboard", "scoreboar", "scoreboards", "*", None, [], ["other"], ["scoreboard "], [""]])
    wrong: st.SearchStrategy[Claims] = issuers.filter(lambda one: one != instance.issuer).map(
        lambda one: {"iss": one}
    ) | audiences.map(lambda one: {"aud": one})
    return wrong.map(lambda claims: compact({"alg": "HS256"}, instance.claims(now_s, **claims), instance.secret.encode()))
