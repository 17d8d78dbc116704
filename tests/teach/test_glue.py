"""Glued values: the very outputs of myst-nb's own glue, without needing it."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import nbformat.v4
import pytest
from myst_nb.core.variables import format_plain_text
from myst_nb.ext.glue import extract_glue_data_cell
from nbclient import NotebookClient

from enormous.errors import UsageError
from enormous.teach.glue import glue

VALUES = ["8", "1 / 3", "'12 GB'", "True", "None", "[1, 2]", '"it\'s"', "-1.5e-9"]
NUMPY = {"np.int64(8)": 8, "np.float32(0.5)": 0.5, "np.bool_(True)": True, "np.str_('a')": "a"}


@pytest.fixture(scope="module")
def outputs() -> list[list[Any]]:
    """Run ours and theirs in one kernel; returns the outputs of both cells and of NumPy's."""
    ours = [f"glue('v{n}', {value})" for n, value in enumerate(VALUES)]
    theirs = [f"glue('v{n}', {value}, display=False)" for n, value in enumerate(VALUES)]
    cells = [
        "from enormous.teach.glue import glue\n" + "\n".join(ours),
        "from myst_nb import glue\n" + "\n".join(theirs),
        "import numpy as np\nfrom enormous.teach.glue import glue\n"
        + "\n".join(f"glue('n{n}', {value})" for n, value in enumerate(NUMPY)),
        "glue('x', 1234.5, ',.0f')\nglue('half', np.float64(0.5), '.0%')",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    NotebookClient(notebook, extra_arguments=["--log-level=ERROR"]).execute()
    return [cell.outputs for cell in notebook.cells]


def test_the_outputs_are_those_of_myst_nb(outputs):
    assert len(outputs[0]) == len(VALUES)
    assert outputs[0] == outputs[1]


def test_nothing_is_shown_in_plain_jupyter(outputs):
    for output in outputs[0] + outputs[2] + outputs[3]:
        assert output.output_type == "display_data"
        assert all(mime.startswith("application/papermill.record/") for mime in output.data)


def test_the_book_shows_numpy_scalars_as_numbers(outputs):
    cell = nbformat.v4.new_code_cell("", outputs=outputs[2])
    found = [data["data"]["text/plain"] for _, data in extract_glue_data_cell(cell)]
    assert [format_plain_text(text, "s") for text in found] == [str(v) for v in NUMPY.values()]
    assert format_plain_text(found[1], ".2f") == "0.50"
    assert format_plain_text(found[0], ",d") == "8"


def test_a_format_is_applied_when_gluing(outputs):
    cell = nbformat.v4.new_code_cell("", outputs=outputs[3])
    found = {name: data["data"]["text/plain"] for name, data in extract_glue_data_cell(cell)}
    assert {k: format_plain_text(v, "s") for k, v in found.items()} == {"x": "1,234", "half": "50%"}


def test_wrong_calls_are_refused_and_plain_python_is_silent(capsys):
    with pytest.raises(UsageError, match="without a colon"):
        glue("a:b", 1)
    with pytest.raises(UsageError, match="does not suit"):
        glue("a", "text", ".2f")
    glue("a", 1)
    assert capsys.readouterr().out == ""


def test_myst_nb_and_ipython_are_not_imported():
    code = (
        "import sys; sys.modules['IPython'] = sys.modules['myst_nb'] = None\n"
        "from enormous.teach.glue import glue; glue('a', [1])"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
