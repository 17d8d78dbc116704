"""Exercise checks: what counts as right, what the reader is told, what is never told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enormous.errors import UsageError
from enormous.teach.check import Registry, check, diagnose, exercise_names, matches


@pytest.fixture
def registry() -> Registry:
    """Make a registry with one exercise of each kind, apart from the book's own."""
    own = Registry("no.such.package")

    @own.exercise("demo-1", hint="Round up on every axis.")
    def count() -> int:
        return 7 * 5 * 5

    @own.exercise(
        "demo-2", hint=lambda answer, expected: "That is the chunk." if 64 in answer else ""
    )
    def shape() -> tuple[int, ...]:
        return (806, 629, 631)

    @own.exercise("demo-3", cases=[(10, 3), (9, 3)], hint="Mind the last chunk.")
    def chunks(n: int, chunk: int) -> int:
        return -(-n // chunk)

    @own.exercise("demo-4")
    def size() -> int:
        return 2_000_000_000

    @own.exercise("demo-5", rtol=0.01)
    def ratio() -> np.ndarray:
        return np.array([1.88, 27.9])

    @own.exercise("demo-6", many=True)
    def judge(answer: Any) -> str:
        if not callable(answer):
            return "Give a function."
        return "" if answer(1) == 1 else "It changes its input."

    return own


def say(registry: Registry, name: str, answer: Any, capsys: pytest.CaptureFixture[str]) -> str:
    registry.check(name, answer)
    return capsys.readouterr().out.strip()


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("demo-1", 175),
        ("demo-1", 175.0),
        ("demo-1", np.uint8(175)),
        ("demo-1", np.array(175)),
        ("demo-2", (806, 629, 631)),
        ("demo-2", [806, 629, 631]),
        ("demo-2", np.array([806, 629, 631])),
        ("demo-3", lambda n, chunk: (n + chunk - 1) // chunk),
        ("demo-5", [1.88, 28.0]),
        ("demo-6", lambda image: image),
    ],
)
def test_right_answers_of_any_type(registry, name, answer, capsys):
    assert say(registry, name, answer, capsys) == f"Exercise {name}: right."


@pytest.mark.parametrize(
    ("name", "answer", "hint"),
    [
        ("demo-1", 176, "off by one"),
        ("demo-1", 350, "factor of 2"),
        ("demo-1", 100, "too small. Round up"),
        ("demo-1", "175", "one number, not text"),
        ("demo-1", None, "one number, not nothing"),
        ("demo-1", True, "one number, not a truth value"),
        ("demo-1", np.array([64, 64, 64]), "one number, not an array"),
        ("demo-1", [64, 64], "one number, not a list"),
        ("demo-1", 10**400, "not yet"),
        ("demo-5", np.array([10**400, 1]), "not yet"),
        ("demo-1", lambda: 175, "is a function"),
        ("demo-2", (631, 629, 806), "wrong order: axes are z, y, x"),
        ("demo-2", (806, 629), "2 values where 3"),
        ("demo-2", (806, 629, 64), "value 3. That is the chunk."),
        ("demo-3", lambda n, chunk: n // chunk, "for the arguments 10, 3"),
        ("demo-3", lambda n, chunk: 1 / 0, "raised ZeroDivisionError"),
        ("demo-3", lambda n: n, "raised TypeError"),
        ("demo-6", lambda image: image * 2, "changes its input"),
        ("demo-6", 3, "Give a function"),
        ("demo-3", 4, "Give the function itself"),
        ("demo-4", 2 * 1024**3, "counts in thousands"),
        ("demo-4", 2, "power of a thousand"),
        ("demo-5", [1.88, 30.0], "value 2"),
    ],
)
def test_wrong_answers_get_the_hint_that_fits(registry, name, answer, hint, capsys):
    text = say(registry, name, answer, capsys)
    assert text.startswith(f"Exercise {name}: not yet.")
    assert hint in text


def test_no_message_gives_the_answer_away(registry, capsys):
    wrong = [0, 1, 174, 176, 350, -175, 10**9, 175.5, "x", None, (1, 2), np.zeros(3), float("nan")]
    for answer in wrong:
        text = say(registry, "demo-1", answer, capsys)
        assert "not yet" in text
        assert "175" not in text
    for answer in [(1, 2, 3), (631, 629, 806), (806, 629), 5, "abc"]:
        text = say(registry, "demo-2", answer, capsys) if not isinstance(answer, int | str) else ""
        assert not {"806", "629", "631"} & set(text.replace(",", " ").split())


def test_an_unanswered_exercise_says_so_and_computes_nothing(capsys):
    own = Registry("no.such.package")

    @own.exercise("lazy-1")
    def never() -> int:
        raise AssertionError("computed an answer nobody asked for")

    assert say(own, "lazy-1", ..., capsys) == "Exercise lazy-1: not answered yet."


@pytest.mark.parametrize("name", ["demo-3", "demo-6"])
def test_an_empty_function_is_not_answered_yet(registry, name, capsys):
    def empty(*args: Any) -> None: ...

    assert say(registry, name, empty, capsys) == f"Exercise {name}: not answered yet."


def test_a_students_function_cannot_spoil_the_cases(capsys):
    own = Registry("no.such.package")

    @own.exercise("spoil-1", cases=[([3, 1, 2],)])
    def smallest(values: list[int]) -> int:
        return min(values)

    def spoiler(values: list[int]) -> int:
        values.sort()
        return values.pop(0)

    for _ in range(2):
        assert say(own, "spoil-1", spoiler, capsys).endswith("right.")


def test_unknown_ids_name_the_nearest_and_bad_ids_are_refused(registry):
    with pytest.raises(UsageError, match=r"no exercise 'demo-9'; did you mean demo-\d"):
        registry.check("demo-9", 1)
    with pytest.raises(UsageError, match="given twice"):
        registry.exercise("demo-1")(lambda: 1)
    with pytest.raises(UsageError, match="<chapter>-<number>"):
        registry.exercise("Demo one")


def test_a_chapters_module_is_imported_when_first_asked(tmp_path, monkeypatch, capsys):
    package = tmp_path / "lessons_for_test"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from enormous.teach.check import Registry\nregistry = Registry(__name__)\n"
    )
    (package / "how_big.py").write_text(
        "from lessons_for_test import registry\n"
        "@registry.exercise('how-big-1')\ndef files(): return 8\n"
    )
    (package / "broken.py").write_text("raise RuntimeError('must not be imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    registry = __import__("lessons_for_test").registry
    assert "lessons_for_test.how_big" not in sys.modules
    assert say(registry, "how-big-1", 8, capsys).endswith("right.")


scalars = st.one_of(
    st.integers(-(2**60), 2**60), st.floats(), st.booleans(), st.text(max_size=8), st.none()
)
answers = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(answers)
def test_every_value_matches_itself(value):
    assert matches(value, value)


@given(answers, answers)
def test_any_two_values_can_be_compared_and_diagnosed(answer, expected):
    assert isinstance(matches(answer, expected), bool)
    assert isinstance(diagnose(answer, expected), str)


@given(st.integers(1, 10**12), st.integers(-(10**6), 10**6).filter(bool))
def test_counts_are_exact_whatever_the_tolerance(count, error):
    assert matches(np.int64(count), count)
    assert not matches(count + error, count)
    assert not matches([count + error], [count])
    assert not matches(np.array([count + error], float), np.array([count]))


@given(st.floats(1e-9, 1e12))
def test_three_digits_are_enough(value):
    assert matches(float(f"{value:.3g}"), value)


# The answers to the book's exercises that are no whole numbers, and the slips that lie near them.
SLIPS = {
    "bytes-on-disk-2": (2048.0, [2000, 4096, 4000, 1024]),
    "compression-1": (16 / 1.75, [1.75, 8, 9, 16 / 2]),
    "how-big-1": (33.554432, [33.554432e9 / 2**30, 32, 33, 16.777216]),
    "how-big-2": (3.84, [60 * 64 / 1024, 60e9 * 64 / 2**40, 3840, 0.96]),
    "metadata-1": (25_400 / 76_200, [10_000 / 76_200, 3, 333.3, 0.3]),
    "monday-1": (34.285714, [30, 40, 33.75, 61.714, 31.931, 26.25, 34_285.7]),
    "monday-2": (4.761905, [7.5, 4.1667, 12.2619, 285.714, 3.619, 11.119]),
    "pyramids-1": ((2, 3.5, 3.5), [(4, 4, 4), (2, 4, 4), (3.5, 3.5, 3.5), (2, 3.5, 0)]),
    "pyramids-2": (
        10.296756998,
        [10.2913, 10.2943, 10.3, 10.276875998, 9.007497998, 9.0075 * 4 / 3, 9.588],
    ),
    "read-amplification-2": ((223 / 96) ** 3, [(224 / 96) ** 3, (222 / 96) ** 3, 223 / 96, 8]),
    "right-pyramids-1": (102.275, [100, 97.725, 104.55, 102.6]),
    "right-pyramids-4": (
        2185.232384,
        [2181.038080, 2185.756672, 2151.677952, 2147.483648, 2453.667840, 2.185232384, 2084.0],
    ),
    "sharding-by-hand-2": (8.5, [8, 9, 16, 17, 136]),
    "stacks-1": (0.156862745, [0.8 / 256 / 0.02, 0.8 / 254 / 0.02, 0.8 / 65_535 / 0.02, 6.375]),
}


def test_the_tolerance_forgives_rounding_and_no_slip(capsys):
    from enormous.teach.check import _registry

    known = [_registry.find(name) for name in exercise_names()]
    values = {e.name: e.expected() for e in known if not e.many and e.cases is None}
    assert set(SLIPS) == {
        name for name, value in values.items() if isinstance(value, float | tuple)
    }
    for name, (right, slips) in SLIPS.items():
        digits = 3 if _registry.find(name).rtol > 1e-3 else 5  # the text asks for more of them
        rounded = right if isinstance(right, tuple) else float(f"{right:.{digits}g}")
        for answer in (right, rounded, *slips):
            check(name, answer)
            said = capsys.readouterr().out
            assert ("right." in said) == (answer in (right, rounded)), (name, answer)


@pytest.mark.parametrize("answer", [(1.5, 2, 3), (64, 64), 64, "abc", None, (64, 64, 0)])
def test_a_chunk_shape_is_three_whole_numbers(answer, capsys):
    check("read-amplification-3", answer)
    assert "three whole numbers" in capsys.readouterr().out


def test_the_module_is_light():
    code = "import sys, enormous.teach.check; sys.exit('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent, check=False)
    assert done.returncode == 0


def test_a_question_with_many_right_answers_is_tried(capsys: pytest.CaptureFixture[str]) -> None:
    registry = Registry("tests.teach.nowhere")

    @registry.exercise("open-1", many=True)
    def even(answer: int) -> str:
        return "" if answer % 2 == 0 else "It must be even."

    for answer in (4, 6, 5, "x"):
        registry.check("open-1", answer)
    said = capsys.readouterr().out.splitlines()
    assert said[0] == said[1] == "Exercise open-1: right."
    assert said[2] == "Exercise open-1: not yet. It must be even."
    assert "could not be tried: TypeError" in said[3]
