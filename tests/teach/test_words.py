"""Tables of words wrap, and show code as code without trusting what is in it."""

from __future__ import annotations

from enormous.teach.words import WordTable


def test_cells_wrap_and_backticks_are_code() -> None:
    table = WordTable(["you write", "it says"], [['`a["<b>"]`', "no such key"]])
    html = table._repr_html_()
    assert "<code>a[&quot;&lt;b&gt;&quot;]</code>" in html
    assert html.count("white-space:normal") == 2  # both cells, no heading
    assert "zarr.<wbr>open" in WordTable(["x"], [["zarr.open"]])._repr_html_()
    assert '`a["<b>"]`' in repr(table)
