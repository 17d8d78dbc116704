"""The errors that reach a person: one line that says what, where and what to do.

Raised on every floor; the command line prints the message alone and exits
with the error's ``exit_code``.
"""


class EnormousError(Exception):
    """Base of all errors of this package; the message is one line."""

    exit_code = 1


class DataError(EnormousError):
    """The data could not be processed (exit code 1)."""


class UsageError(EnormousError, ValueError):
    """The call was wrong, an output exists, a name is unknown (exit code 2)."""

    exit_code = 2


class MissingExtra(EnormousError, ImportError):
    """An optional dependency is not installed (exit code 2)."""

    exit_code = 2

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"{package} is not installed; install it with: pip install 'enormous[{extra}]'"
        )
