"""freeze.py: values come back equal, equal values give equal text, nothing else gets in or out."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import toy
from hypothesis import given
from hypothesis import strategies as st

from enormous.codecs import Codec
from enormous.engine.freeze import freeze, thaw
from enormous.errors import DataError, UsageError
from enormous.grid import Grid, Tiling
from enormous.kernels import downsample

numbers = st.integers() | st.floats() | st.booleans() | st.none() | st.text()
things = st.sampled_from(
    [Codec("zstd", 7), Grid((9, 9), (3, 3), 2, (9, 3)), Tiling((5,), (2,)), toy.Toy(3), downsample]
)
values = st.recursive(
    numbers | things,
    lambda below: (
        st.lists(below, max_size=4)
        | st.lists(below, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=4), below, max_size=4)
    ),
    max_leaves=12,
)


def same(a: Any, b: Any) -> bool:
    """Equal, of equal types, NaN and the sign of zero and the order of keys included."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return (math.isnan(a) and math.isnan(b)) or (a, math.copysign(1, a)) == (
            b, math.copysign(1, b)
        )  # fmt: skip
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    return bool(a == b)


@given(values)
def test_what_is_frozen_comes_back(value: Any) -> None:
    text = freeze(value)
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert same(thaw(text), value)
    assert freeze(thaw(text)) == text


@dataclass
class Loose:
    x: int = 1


@dataclass(frozen=True)
class Stranger:
    x: int = 1


def local() -> Any:
    def inside() -> None: ...

    return inside


@pytest.mark.parametrize(
    "value",
    [Loose(), Stranger(), Path("/"), {1: 2}, {1}, b"x", 1j, object(), local(), lambda: 1,
     json.dumps, Codec.parse, Tiling((1,), (1,)).index, Codec, (1, [Path("/")])],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_nothing_else_is_frozen(value: Any) -> None:
    with pytest.raises((UsageError, DataError), match=r"cannot hold|no function"):
        thaw(freeze(value))


@pytest.mark.parametrize(
    "text",
    ['{"function": "os:system"}', '{"function": "posix:system"}', '{"type": "subprocess:Popen"}',
     '{"function": "enormous.engine.output:shutil"}', '{"function": "enormous.stores:os.remove"}',
     '{"type": "enormous.codecs:NAMES", "fields": {}}', '{"function": "enormous.nothing:x"}',
     '{"type": "enormous.codecs:Codec", "fields": {"name": "none", "colour": 1}}',
     '{"type": "enormous.codecs:Codec", "fields": {"name": "zsdt"}}', "{", '{"type": 1}', "{}",
     '{"function": "enormous.codecs:Codec"}'],
)  # fmt: skip
def test_no_file_can_name_other_things(text: str) -> None:
    with pytest.raises(DataError):
        thaw(text)
