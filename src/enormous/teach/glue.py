"""Keep a value that a cell computed, so that prose can show it.

Called by the cells of the chapters: ``glue("files", n)`` here, and
``{glue:text}`files``` in the text. The output is the one that myst-nb's own
``glue`` writes, so the book's machinery reads it, but nothing of Sphinx is
needed: the same cell runs in plain Jupyter, on Colab and under nbval, where it
shows nothing. ``enormous.teach.record`` reads the same outputs.
"""

from __future__ import annotations

from typing import Any

from enormous.errors import UsageError

#: What myst-nb puts before a MIME type to keep an output from being shown.
MIME_PREFIX = "application/papermill.record/"


def glue(name: str, value: Any, fmt: str | None = None) -> None:
    """Keep `value` under `name` for the prose of this chapter.

    Parameters
    ----------
    name : str
        The name that ``{glue:text}`` asks for; one value a name in a chapter.
    value : object
        Anything with a text form. NumPy scalars become plain numbers first:
        their own representation, ``np.int64(5)``, is not what prose wants.
    fmt : str, optional
        A format specification, such as ``",d"`` or ``".2f"``; the formatted
        text is then what is kept.

    Raises
    ------
    UsageError
        If `name` is empty or holds a colon (``{glue:text}`` takes what follows
        a colon for a format), or if `fmt` does not suit `value`.
    """
    if not name or ":" in name:
        raise UsageError(f"glue name {name!r}: give a name without a colon")
    data, metadata = _bundle(name, value, fmt)
    try:
        from IPython.core.getipython import get_ipython
    except ImportError:
        return  # plain Python: there is no page that could show the value
    if get_ipython() is None:
        return
    from IPython.display import display

    metadata["scrapbook"] = {"name": name, "mime_prefix": MIME_PREFIX}
    hidden = {MIME_PREFIX + mime: content for mime, content in data.items()}
    display(hidden, raw=True, metadata=metadata)  # type: ignore[no-untyped-call]


def _bundle(name: str, value: Any, fmt: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Make the MIME bundle of `value` and its metadata."""
    import numpy as np

    if isinstance(value, np.generic):
        value = value.item()
    if fmt is not None:
        try:
            value = format(value, fmt)
        except (TypeError, ValueError) as error:
            raise UsageError(f"glue {name!r}: format {fmt!r} does not suit: {error}") from error
    if isinstance(value, str | int | float | bool):
        return {"text/plain": repr(value)}, {}
    try:
        from IPython.core.formatters import format_display_data
        from IPython.core.getipython import get_ipython
    except ImportError:
        return {"text/plain": repr(value)}, {}
    if get_ipython() is None:
        return {"text/plain": repr(value)}, {}
    data, metadata = format_display_data(value)  # type: ignore[no-untyped-call]
    return data, metadata
