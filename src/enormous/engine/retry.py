"""Try again what a network or a busy file system refused; raise all else at once.

Called for every block, by whichever executor makes it. A block may be made again from the
start, as its function is idempotent and its writes are atomic.
"""

from __future__ import annotations

import errno
import random
import re
from collections.abc import Callable
from typing import TypeVar

from enormous.engine.pool import Stop
from enormous.errors import DataError

T = TypeVar("T")

TRIES = 5
FIRST_PAUSE = 0.2  # seconds; doubled each time, so all tries take about 3 s and their own time

_NUMBERS = frozenset(
    number
    for name in (
        "EAGAIN", "EINTR", "EIO", "ESTALE", "ETIMEDOUT", "ECONNRESET", "ECONNABORTED",
        "ECONNREFUSED", "ENETUNREACH", "ENETDOWN", "ENETRESET", "EHOSTUNREACH", "EREMOTEIO",
    )
    if (number := getattr(errno, name, None)) is not None
)  # fmt: skip
# tensorstore tells of its status in the first word of a ValueError
_STATUS = re.compile(r"(UNAVAILABLE|DEADLINE_EXCEEDED|ABORTED)\b")


def transient(error: BaseException | None) -> bool:
    """Whether it may go well the next time: the error, or the one it was raised from."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:  # a chain may bite its tail
        seen.append(error)
        if isinstance(error, (ConnectionError, TimeoutError)):
            return True
        if isinstance(error, OSError) and error.errno in _NUMBERS:
            return True
        kind = type(error)
        if kind.__module__.startswith("obstore") and kind.__name__ == "GenericError":
            return True  # timeouts, broken connections, answers of 500 and above
        if isinstance(error, ValueError) and _STATUS.match(str(error)):
            return True
        error = error.__cause__
    return False


def attempt(function: Callable[[], T], stop: Stop, what: str, tries: int = TRIES) -> T:
    """Call a function until it succeeds, at most `tries` times.

    Parameters
    ----------
    function : callable
    stop : Stop
        Ends the waiting between two tries.
    what : str
        Names the work in the error.

    Raises
    ------
    DataError
        If the last try failed as those before it: says how often it was tried.
    Exception
        At once, if trying again would not help.
    """
    for number in range(1, tries + 1):
        try:
            return function()
        except Exception as error:
            if not transient(error):
                raise
            if number == tries:
                raise DataError(f"{what}: {_line(error)} (tried {tries} times)") from error
        # jitter, so that many workers do not come back at the same moment
        stop.sleep(FIRST_PAUSE * 2 ** (number - 1) * random.uniform(0.5, 1.5))
    raise AssertionError("the last try returns or raises")


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
