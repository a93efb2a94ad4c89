"""A register of generators by name, and what they share. The name shows in the report of a failed test."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

from hypothesis import strategies as st

from tests.attack.instance import Instance

Forged = TypeVar("Forged")
Maker = Callable[[Instance, int], st.SearchStrategy[Forged]]


class Generators(Generic[Forged]):
    """Generators of one kind of credential, by the name of their function. A generator takes an instance and a time."""

    def __init__(self) -> None:
        self.by_name: dict[str, Maker[Forged]] = {}

    def add(self, make: Maker[Forged]) -> Maker[Forged]:
        """Register a generator under the name of its function."""
        self.by_name[make.__name__.replace("_", " ")] = make
        return make

    def any(self, instance: Instance, now: int) -> st.SearchStrategy[tuple[str, Forged]]:
        """(the name of a generator, its forged credential)."""
        return st.one_of([st.tuples(st.just(name), make(instance, now)) for name, make in self.by_name.items()])


#: Tokens that must be refused at a time in Unix seconds.
TOKENS: Final[Generators[str]] = Generators()

anything: Final[st.SearchStrategy[Any]] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**65), 2**65) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)


def other_spellings(word: str) -> st.SearchStrategy[str]:
    """Other spellings of the word, never the word itself."""
    cases = st.tuples(*[st.booleans()] * len(word)).map(
        lambda flips: "".join(c.swapcase() if flip else c for c, flip in zip(word, flips, strict=True))
    )
    padded = st.sampled_from([f" {word}", f"{word} ", f"{word}\0", f"\ufeff{word}", f"{word}s", word[:-1], f"{word},{word}", ""])
    wide = st.just("".join(chr(ord(c) + 0xFEE0) if c.isascii() and c.isprintable() and c != " " else c for c in word))
    return (cases | padded | wide).filter(lambda text: text != word)


def with_name_twice(members: dict[str, Any], name: str, value: Any, first: bool) -> str:
    """A JSON object in which one name stands twice; the new value is the first or the last member."""
    once, more = json.dumps(members)[1:-1], f"{json.dumps(name)}: {json.dumps(value)}"
    return "{" + (f"{more}, {once}" if first else f"{once}, {more}") + "}"
