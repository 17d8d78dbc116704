"""Numbers as people read them, in error messages and on the command line."""

from __future__ import annotations

import re
from collections.abc import Sequence

_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB", "EB")


def bytes_text(count: float) -> str:
    """Bytes with three digits and a decimal unit: ``1.23 GB``."""
    if count < 1000:
        return f"{count:.0f} {'byte' if count == 1 else 'bytes'}"
    for unit in _UNITS[1:]:
        count /= 1000
        # 999.6 would be written as 1e+03
        if count < 999.5 or unit == _UNITS[-1]:
            return f"{count:.{0 if count >= 99.95 else 1 if count >= 9.995 else 2}f} {unit}"
    raise AssertionError("the last unit takes everything")


def shape_text(shape: Sequence[int]) -> str:
    """Sizes joined by a cross: ``806×629×629``."""
    return "×".join(map(str, shape))


def count_text(count: int, singular: str, plural: str | None = None) -> str:
    """A number with its noun: ``1 level``, ``1,234 objects``."""
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"


def reason_text(error: BaseException) -> str:
    """What an error of a library says, in one line.

    The byte stores add how often they tried and pages of their own insides; of those only the
    system's word is kept: ``Connection refused``.
    """
    told, _, insides = str(error).partition("Debug source:")
    told = re.sub(r"^Generic \w+ error: ", "", " ".join(told.split()))
    told = re.sub(r" in [0-9.]+\w? ?s(, after [0-9]+ retries, .*?)? - ", ": ", told, count=1)
    cause = re.search(r'message: "([^"]+)"', insides)
    return f"{told} ({cause[1]})" if cause else told or type(error).__name__
