"""A small table that reads well in the page, in a notebook and in a terminal.

Called by the chapters. Plain HTML with row and column headers, so that screen
readers can say which number is which.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from enormous._text import bytes_text as human_bytes

__all__ = ["Table", "human_bytes", "human_time"]


class Table:
    """A table with a header row; the first column names its row.

    Parameters
    ----------
    columns : sequence of str
        Headings.
    rows : sequence of sequences
        Cells: text as it is; integers with thousands separated; other
        numbers with three digits.
    """

    def __init__(self, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        self.columns = [str(c) for c in columns]
        self.rows = [[_text(cell) for cell in row] for row in rows]
        self._number = [
            bool(rows) and all(isinstance(row[i], int | float) for row in rows)
            for i in range(len(columns))
        ]

    def __repr__(self) -> str:
        table = [self.columns, *self.rows]
        widths = [max(len(row[i]) for row in table) for i in range(len(self.columns))]
        lines = [
            "  ".join(
                cell.rjust(w) if right else cell.ljust(w)
                for cell, w, right in zip(row, widths, self._number, strict=True)
            ).rstrip()
            for row in table
        ]
        return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])

    def _repr_html_(self) -> str:
        def cells(row: Sequence[str], tag: str, first: str) -> str:
            out = []
            for i, cell in enumerate(row):
                align = ' style="text-align:right"' if self._number[i] else ""
                out.append(
                    f"<{first}{align}>{escape(cell)}</th>"
                    if i == 0 or tag == "th"
                    else f"<td{align}>{escape(cell)}</td>"
                )
            return f"<tr>{''.join(out)}</tr>"

        head = cells(self.columns, "th", 'th scope="col"')
        body = "".join(cells(row, "td", 'th scope="row"') for row in self.rows)
        return f'<table class="dataframe table"><thead>{head}</thead><tbody>{body}</tbody></table>'


def _text(cell: object) -> str:
    if isinstance(cell, bool) or not isinstance(cell, int | float):
        return str(cell)
    if isinstance(cell, int) or abs(cell) >= 999.5:
        return f"{cell:,.0f}"
    return f"{cell:.3g}"


def human_time(seconds: float) -> str:
    """Seconds in the unit a person would use: ``40 ms``, ``2.1 hours``, ``83 days``."""
    for unit, size in (("years", 31557600), ("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"
