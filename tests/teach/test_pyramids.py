from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from enormous.teach.pyramids import Beside, short_json

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
)


@given(json_values, st.integers(1, 60))
def test_short_json_is_the_same_json(value, width):
    assert json.loads(short_json(value, width)) == value


def test_short_json_breaks_only_what_does_not_fit():
    value = {"axes": [{"name": "z"}, {"name": "y"}], "version": "0.5"}
    assert short_json(value, 80) == json.dumps(value)
    assert short_json(value, 42).splitlines() == [
        "{",
        ' "axes": [{"name": "z"}, {"name": "y"}],',
        ' "version": "0.5"',
        "}",
    ]
    assert all(len(line) <= 24 for line in short_json(value, 24).splitlines())
    assert short_json({"scale": [1.5, 2, 2]}, 8).splitlines() == ["{", ' "scale": [1.5, 2, 2]', "}"]


def test_texts_stand_beside_one_another_and_are_escaped():
    both = Beside({"0.4": "<a>", "0.5": "b"})
    assert repr(both) == "0.4\n---\n<a>\n\n0.5\n---\nb"
    page = both._repr_html_()
    assert page.count("<pre") == 2
    assert "&lt;a&gt;" in page
