"""A table of words: cells that wrap, and code that looks like code.

Called by the chapters of Part 2 whose tables hold what programs say.
The book's other tables hold numbers, and keep each cell on one line.
"""

from __future__ import annotations

import re

from enormous.teach.tables import Table


class WordTable(Table):
    """A `Table` whose cells wrap; what stands between backticks is shown as code."""

    def _repr_html_(self) -> str:
        style = ' style="white-space:normal;min-width:7.5em"'
        html = super()._repr_html_()
        for cell in ("<td", '<th scope="row"'):
            html = html.replace(f"{cell}>", f"{cell}{style}>")
        parts = re.split(r"(<[^>]*>)", html)  # long names may break at their joints
        parts[::2] = [re.sub(r"(?<=[._(=/])(?=\w)", "<wbr>", text) for text in parts[::2]]
        return re.sub(r"`([^`]+)`", r"<code>\1</code>", "".join(parts))
