"""Names of slices: their natural order, and whether one of them is missing.

Called by :mod:`enormous.create.sources.slices`. Pure functions.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from enormous.errors import DataError, UsageError

_NUMBER = re.compile(r"(\d+)")


def natural_key(name: str) -> tuple[tuple[str, int], ...]:
    """Sort key that puts ``slice2`` before ``slice10``."""
    parts = _NUMBER.split(name.lower())
    numbers = [int(part) for part in parts[1::2]]
    return tuple(zip(parts[::2], [*numbers, -1], strict=True))


def in_order(names: Sequence[str], where: str) -> tuple[str, ...]:
    """Names in natural order, after a look at their numbers.

    Parameters
    ----------
    names : sequence of str
        Of the slices, without their folder.
    where : str
        The folder or glob, for messages.

    Raises
    ------
    UsageError
        If some names are unlike the others, or no single number tells them apart.
    DataError
        If a number is missing in a sequence of constant step, or there twice. Where several
        numbers vary, as a number and a position do, one that counts without a gap settles it.
    """
    ordered = tuple(sorted(names, key=lambda name: (natural_key(name), name)))
    if len(ordered) < 2:
        return ordered
    texts = [tuple(_NUMBER.split(name)[::2]) for name in ordered]
    text, count = Counter(texts).most_common(1)[0]
    if count < len(ordered):
        if count > len(ordered) / 2:
            odd = next(n for n, t in zip(ordered, texts, strict=True) if t != text)
            like = next(n for n, t in zip(ordered, texts, strict=True) if t == text)
            raise UsageError(
                f"{where}: {odd} is not named like the others ({like}); move it away, or give a "
                "glob that chooses the slices"
            )
        return ordered  # names without a common pattern: the order of the alphabet
    columns = list(zip(*([int(n) for n in _NUMBER.findall(name)] for name in ordered), strict=True))
    varying = [column for column in columns if len(set(column)) > 1]
    if len(varying) == 1 or not varying:
        _check_sequence(ordered, varying[0] if varying else columns[0], where)
    elif all(len(set(column)) < len(column) for column in varying):
        raise UsageError(
            f"{where}: several numbers vary in the names ({ordered[0]} to {ordered[-1]}), as those "
            "of channels or tiles do; give a glob that chooses one stack of slices"
        )
    else:
        counters = [column for column in varying if _counts(column)]
        if counters and all(len(set(_steps(column))) > 1 for column in counters):
            _check_sequence(ordered, counters[0], where)
    return ordered


def _steps(numbers: Sequence[int]) -> list[int]:
    return [after - before for before, after in pairwise(numbers)]


def _counts(numbers: Sequence[int]) -> bool:
    """Whether numbers go up, or down, in whole multiples of their smallest step."""
    steps = _steps(numbers)
    step = min(steps, key=abs)
    return step != 0 and all(found * step > 0 and found % step == 0 for found in steps)


def _check_sequence(names: Sequence[str], numbers: Sequence[int], where: str) -> None:
    steps = _steps(numbers)
    step = min(steps, key=abs)
    for index, found in enumerate(steps):
        if step == 0 and found == 0:
            raise DataError(
                f"{where}: {names[index]} and {names[index + 1]} have the same number; move one "
                "away"
            )
        if step and found != step:
            raise DataError(
                f"{where}: slice {numbers[index] + step} is missing between {names[index]} and "
                f"{names[index + 1]}; add it, or a copy of its neighbour if it is lost; if it "
                "never was, give the files as a list in Python"
            )
