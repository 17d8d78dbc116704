"""Tell a reader whether an exercise is solved, with a hint, never with the answer.

Called by the last line of every exercise cell: ``check("how-big-1", answer)``.
The expected answer is *computed* by a function in
``enormous.teach.exercises.<chapter>``, marked ``@exercise("how-big-1", ...)``;
that module is imported when one of its exercises is first checked. How two
answers are compared stands in `matches`, the hints that need no author in
`diagnose`. Everything is printed as plain text, one message an exercise.
"""

from __future__ import annotations

import copy
import difflib
import functools
import importlib
import math
import numbers
import pkgutil
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from enormous.errors import UsageError

Hint = str | Callable[[Any, Any], str | None]
F = TypeVar("F", bound=Callable[..., Any])

#: Relative tolerance of floating-point answers: readers round, at the coarsest to three
#: digits, which moves a number by at most half of one in a hundred (33.554 to 33.6).
RTOL = 5e-3


class NotAnswered(Exception):
    """The reader has not touched the exercise yet: no mistake."""


@dataclass(frozen=True)
class Exercise:
    """One exercise: how its answer is computed and what helps who is wrong.

    Attributes
    ----------
    name : str
        The id, ``<chapter>-<number>``.
    expected : callable
        Without `cases`, called without arguments to compute the answer. With
        `cases`, a reference implementation of the function a reader writes.
    hint : str or callable
        Text, or a function of (answer, expected) that returns text or None.
        For a function exercise it gets the results of the first failing case.
    cases : tuple of tuple, optional
        Argument tuples on which a reader's function must agree with `expected`.
    rtol : float
        Relative tolerance of floating-point numbers.
    many : bool
        There are many right answers: `expected` is called with the reader's
        and returns a hint, or nothing if it is right.
    """

    name: str
    expected: Callable[..., Any]
    hint: Hint = ""
    cases: tuple[tuple[Any, ...], ...] | None = None
    rtol: float = RTOL
    many: bool = False

    def judge(self, answer: Any) -> tuple[bool, str]:
        """Return whether `answer` is right, and a hint if it is not.

        Raises
        ------
        NotAnswered
            If `answer` is ``...``, or a function that returns that or None:
            ``def f(image): ...`` is how an exercise leaves it open.
        """
        if answer is ...:
            raise NotAnswered
        if self.many:
            return self._judge_one_of_many(answer)
        if self.cases is not None:
            return self._judge_function(answer)
        if callable(answer) and not isinstance(answer, type):
            return False, "The answer is a function; give what it returns."
        expected = self.expected()
        if matches(answer, expected, rtol=self.rtol):
            return True, ""
        return False, self._advise(answer, expected)

    def _judge_one_of_many(self, answer: Any) -> tuple[bool, str]:
        try:
            hint = self.expected(_watched(answer) if callable(answer) else answer)
        except NotAnswered:
            raise
        except Exception as error:  # a reader's answer may be anything: we report it
            return False, f"Your answer could not be tried: {type(error).__name__}: {error}."
        return not hint, hint or ""

    def _judge_function(self, function: Any) -> tuple[bool, str]:
        if not callable(function):
            return False, f"Give the function itself, not {_kind(function)}."
        for case in self.cases or ():
            expected = self.expected(*copy.deepcopy(case))
            call = f"for the arguments {', '.join(map(_brief, case))}"
            try:
                result = _watched(function)(*copy.deepcopy(case))
            except NotAnswered:
                raise
            except Exception as error:  # a reader's code may raise anything: we report it
                return False, f"Your function raised {type(error).__name__}: {error} ({call})."
            if not matches(result, expected, rtol=self.rtol):
                return False, f"It is wrong {call}. {self._advise(result, expected)}".rstrip()
        return True, ""

    def _advise(self, answer: Any, expected: Any) -> str:
        own = self.hint(answer, expected) if callable(self.hint) else self.hint
        return " ".join(text for text in (diagnose(answer, expected), own) if text)


class Registry:
    """The exercises known so far, and the package whose modules hold the rest.

    Parameters
    ----------
    package : str
        Import name of a package with one module a chapter: the exercises
        ``how-big-<n>`` live in its module ``how_big``.
    """

    def __init__(self, package: str) -> None:
        self.package = package
        self._known: dict[str, Exercise] = {}

    def exercise(
        self,
        name: str,
        *,
        hint: Hint = "",
        cases: Iterable[tuple[Any, ...]] | None = None,
        rtol: float = RTOL,
        many: bool = False,
    ) -> Callable[[F], F]:
        """Mark the function that computes the answer of exercise `name`.

        Parameters
        ----------
        name : str
            ``<chapter>-<number>``, as in ``check("how-big-1", answer)``.
        hint, cases, rtol, many
            See `Exercise`.

        Raises
        ------
        UsageError
            If the name has another form or is taken.
        """
        if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*-\d+", name):
            raise UsageError(f"exercise id {name!r}: write it as <chapter>-<number>, in lower case")

        def mark(function: F) -> F:
            if name in self._known:
                raise UsageError(f"exercise id {name!r} is given twice; number it anew")
            given = None if cases is None else tuple(cases)
            self._known[name] = Exercise(name, function, hint, given, rtol, many)
            return function

        return mark

    def find(self, name: str) -> Exercise:
        """Return exercise `name`, importing its chapter's module if need be.

        Raises
        ------
        UsageError
            If there is no such exercise; the message lists those nearest.
        """
        module = name.rpartition("-")[0].replace("-", "_")
        if name not in self._known and module in self._modules():
            importlib.import_module(f"{self.package}.{module}")
        if name in self._known:
            return self._known[name]
        near = difflib.get_close_matches(name, self.names(), n=3, cutoff=0.5)
        meant = f"; did you mean {' or '.join(near)}?" if near else "; see the chapter for its ids"
        raise UsageError(f"there is no exercise {name!r}{meant}")

    def names(self) -> list[str]:
        """Return the ids of all exercises, importing every chapter's module."""
        for module in self._modules():
            importlib.import_module(f"{self.package}.{module}")
        return sorted(self._known)

    def check(self, name: str, answer: Any) -> None:
        """Print whether `answer` solves exercise `name`, with a hint if not.

        Parameters
        ----------
        name : str
            The exercise's id.
        answer : object
            The reader's answer. ``...``, or a function that returns it or
            nothing, stands for "not answered yet".

        Raises
        ------
        UsageError
            If there is no such exercise.
        """
        exercise = self.find(name)
        try:
            right, hint = exercise.judge(answer)
        except NotAnswered:
            print(f"Exercise {name}: not answered yet.")
            return
        print(f"Exercise {name}: right." if right else f"Exercise {name}: not yet. {hint}".rstrip())

    def _modules(self) -> set[str]:
        try:
            package = importlib.import_module(self.package)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{self.package}.".startswith(f"{error.name}."):
                raise
            return set()
        return {module.name for module in pkgutil.iter_modules(package.__path__)}


def matches(answer: Any, expected: Any, *, rtol: float = RTOL) -> bool:
    """Return whether `answer` equals `expected` as a teacher would judge it.

    Numbers of any type are equal by value: floats within `rtol`, whole numbers
    exactly (they are counts; so are arrays of them). Text ignores case and
    spacing. Lists, tuples and arrays are equal item by item, whatever their
    type; sets and mappings by content. A truth value is only equal to a truth value.
    """
    import numpy as np

    answer, expected = _plain(answer), _plain(expected)
    if isinstance(expected, bool) or isinstance(answer, bool):
        return type(answer) is type(expected) and answer == expected
    if isinstance(expected, numbers.Number):
        return isinstance(answer, numbers.Number) and _close(answer, expected, rtol)
    if isinstance(expected, str):
        return isinstance(answer, str) and _squeeze(answer) == _squeeze(expected)
    if isinstance(expected, np.ndarray) or isinstance(answer, np.ndarray):
        return _arrays_match(answer, expected, rtol)
    if isinstance(expected, Mapping):
        return (
            isinstance(answer, Mapping)
            and answer.keys() == expected.keys()
            and all(matches(answer[key], expected[key], rtol=rtol) for key in expected)
        )
    if isinstance(expected, Sequence):
        return (
            isinstance(answer, Sequence)
            and not isinstance(answer, str)
            and len(answer) == len(expected)
            and all(matches(a, e, rtol=rtol) for a, e in zip(answer, expected, strict=True))
        )
    return type(answer) is type(expected) and bool(answer == expected)


def diagnose(answer: Any, expected: Any) -> str:
    """Name the common mistake that turns `expected` into `answer`, or return ``""``.

    It says what kind of mistake it looks like, not what the answer is.
    """
    import numpy as np

    answer, expected = _plain(answer), _plain(expected)
    if _is_number(expected):
        return _diagnose_number(answer, expected)
    if isinstance(expected, np.ndarray):
        expected = expected.tolist() if expected.ndim == 1 else expected
    if isinstance(answer, np.ndarray) and answer.ndim == 1:
        answer = answer.tolist()
    if isinstance(expected, bool):
        return "" if isinstance(answer, bool) else "Answer with True or False."
    if isinstance(expected, str):
        return "" if isinstance(answer, str) else "Answer with text, in quotes."
    if isinstance(expected, list | tuple):
        return _diagnose_sequence(answer, expected)
    if isinstance(expected, np.ndarray) and np.shape(answer) != expected.shape:
        return f"The shape of your array is {np.shape(answer)}, which does not fit."
    return ""


def _diagnose_number(answer: Any, expected: Any) -> str:
    if not _is_number(answer):
        return f"Answer with one number, not {_kind(answer)}."
    if isinstance(answer, complex) or isinstance(expected, complex):
        return ""
    whole = isinstance(expected, int)
    try:
        answer, expected = float(answer), float(expected)
    except OverflowError:
        return ""
    if not math.isfinite(answer) or not math.isfinite(expected) or 0 in (answer, expected):
        return ""
    if answer == -expected:
        return "Look at the sign."
    ratio = answer / expected
    if whole and abs(answer - expected) == 1:
        return "You are off by one: are both ends counted?"
    for power, unit in ((1, "k"), (2, "M"), (3, "G"), (4, "T")):
        for way in (ratio, 1 / ratio):
            if math.isclose(way, 1.024**power, rel_tol=1e-4):
                return f"Look at the unit: {unit}B counts in thousands, {unit}iB in 1024s."
            if math.isclose(way, 1000.0**power, rel_tol=1e-4):
                return "You are off by a power of a thousand: look at the unit."
    for factor in (2, 4, 8):
        if math.isclose(ratio, factor, rel_tol=1e-6) or math.isclose(ratio * factor, 1):
            return f"You are off by a factor of {factor}."
    return "It is too large." if answer > expected else "It is too small."


def _diagnose_sequence(answer: Any, expected: Sequence[Any]) -> str:
    if not isinstance(answer, Sequence) or isinstance(answer, str):
        return f"Answer with {len(expected)} values in a tuple or list, not {_kind(answer)}."
    if len(answer) != len(expected):
        return f"You give {len(answer)} values where {len(expected)} are asked for."
    if matches(list(answer)[::-1], list(expected)):
        return "The values are right but in the wrong order: axes are z, y, x."
    wrong = [
        str(n + 1)
        for n, (a, e) in enumerate(zip(answer, expected, strict=True))
        if not matches(a, e)
    ]
    return f"Look again at value {' and '.join(wrong)}." if len(wrong) < len(expected) else ""


def _arrays_match(answer: Any, expected: Any, rtol: float) -> bool:
    import numpy as np

    try:
        left, right = np.asarray(answer), np.asarray(expected)
    except ValueError:
        return False  # a ragged list is no array
    if left.shape != right.shape:
        return False
    if left.dtype.kind in "fc" or right.dtype.kind in "fc":
        if left.dtype.kind not in "iufc" or right.dtype.kind not in "iufc":
            return False
        within = rtol if right.dtype.kind in "fc" else 0
        return bool(np.allclose(left, right, rtol=within, atol=0, equal_nan=True))
    return bool(np.array_equal(left, right))


def _plain(value: Any) -> Any:
    """Turn NumPy scalars and 0-dimensional arrays into Python's own numbers."""
    import numpy as np

    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        return value.item()
    return value


def _close(answer: Any, expected: Any, rtol: float) -> bool:
    if isinstance(expected, numbers.Integral):
        return bool(answer == expected)
    if isinstance(answer, complex) or isinstance(expected, complex):
        return bool(abs(answer - expected) <= rtol * abs(expected))
    if math.isnan(expected):
        return math.isnan(answer)
    try:
        return math.isclose(answer, expected, rel_tol=rtol)
    except OverflowError:  # a whole number beyond all floats
        return False


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Number) and not isinstance(value, bool)


def _squeeze(text: str) -> str:
    return " ".join(text.split()).casefold()


def _watched(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a reader's function so that an empty one counts as not written yet."""

    @functools.wraps(function, updated=())
    def watched(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        if result is None or result is ...:
            raise NotAnswered
        return result

    return watched


def _kind(value: Any) -> str:
    if value is None or value is ...:
        return "nothing"
    name = type(value).__name__
    known = {
        "str": "text",
        "bool": "a truth value",
        "ndarray": "an array",
        "list": "a list",
        "tuple": "a tuple",
    }
    return known.get(name, f"a value of type {name}")


def _brief(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else text[:57] + "..."


_registry = Registry("enormous.teach.exercises")
exercise = _registry.exercise
check = _registry.check
exercise_names = _registry.names
