"""Two pieces of JSON side by side, short enough to read.

Called by the chapter on pyramids, which shows the metadata of one image in two
versions of OME-Zarr.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from typing import Any


def short_json(value: Any, width: int = 48) -> str:
    """JSON with everything on one line that fits, and what does not broken as usual.

    Parameters
    ----------
    value : JSON value
    width : int
        Longest line, in characters; a key, a value or a list of numbers that is
        longer stays whole.

    Returns
    -------
    str
    """
    return "\n".join(_lines(value, width, ""))


def _lines(value: Any, width: int, before: str) -> list[str]:
    flat = before + json.dumps(value, ensure_ascii=False)
    numbers = isinstance(value, list) and all(isinstance(item, int | float) for item in value)
    if len(flat) <= width or numbers or not isinstance(value, dict | list) or not value:
        return [flat]
    if isinstance(value, dict):
        ends, items = "{}", [(f"{json.dumps(key)}: ", item) for key, item in value.items()]
    else:
        ends, items = "[]", [("", item) for item in value]
    # one column less on each level, and one for the comma
    parts = [_lines(item, width - 2, key) for key, item in items]
    for part in parts[:-1]:
        part[-1] += ","
    return [before + ends[0], *(f" {line}" for part in parts for line in part), ends[1]]


class Beside:
    """Texts next to one another in a page, below one another where there is no room.

    Parameters
    ----------
    texts : mapping of str to str
        Title and text of each.
    """

    def __init__(self, texts: Mapping[str, str]) -> None:
        self.texts = dict(texts)

    def __repr__(self) -> str:
        return "\n\n".join(f"{title}\n{'-' * len(title)}\n{t}" for title, t in self.texts.items())

    def _repr_html_(self) -> str:
        boxes = "".join(
            f'<div style="flex:1 1 19rem;min-width:0"><strong>{escape(title)}</strong>'
            f'<pre style="overflow-x:auto;font-size:0.75em" tabindex="0">{escape(text)}</pre></div>'
            for title, text in self.texts.items()
        )
        return f'<div class="beside" style="display:flex;flex-wrap:wrap;gap:0 1rem">{boxes}</div>'
