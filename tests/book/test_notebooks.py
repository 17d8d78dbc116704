"""The notebooks: what the chapters make, for whom, and nothing raw in them."""

from __future__ import annotations

import ast
import json
import re
import shutil
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enormous.errors import DataError, UsageError
from enormous.teach import notebooks
from enormous.teach.flatten import Flattener, format_glued, raw_myst
from enormous.teach.source import Block, Book, parse, spans

ROOT = Path(__file__).parents[2]
MINIBOOK = Path(__file__).parent / "fixtures" / "minibook"


@pytest.fixture
def book(tmp_path) -> Book:
    """Copy the small book of the fixtures to where a test may change it."""
    shutil.copytree(MINIBOOK, tmp_path / "book-root")
    return Book(tmp_path / "book-root")


def cells(book: Book, audience: str, name: str = "1-first/demo") -> list[dict[str, Any]]:
    text = notebooks.notebook(book, book.pages[name], audience)
    return json.loads(text)["cells"]


def source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def all_text(found: list[dict[str, Any]]) -> str:
    return "\n\n".join(map(source, found))


def change(book: Book, old: str, new: str) -> Book:
    """Replace text in the demo chapter and read the book again."""
    path = book.root / "book/1-first/demo.md"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    return Book(book.root)


# The book's own notebooks


def test_the_committed_notebooks_are_what_the_chapters_make():
    assert notebooks.drift(Book(ROOT)) == []


@pytest.mark.parametrize("audience", notebooks.FOLDERS)
def test_every_committed_notebook_is_valid_and_shows_nothing_raw(audience):
    paths = sorted((ROOT / notebooks.FOLDERS[audience]).glob("*.ipynb"))
    assert len(paths) == len(Book(ROOT).with_code)
    for path in paths:
        content = nbformat.read(path, as_version=4)
        nbformat.validate(content)
        assert len({cell.id for cell in content.cells}) == len(content.cells)
        for cell in content.cells:
            if cell.cell_type == "markdown":
                assert raw_myst(cell.source) == "", path.name
            else:
                assert cell.outputs == []


@pytest.mark.parametrize("chapter", Book(ROOT).with_code, ids=lambda chapter: chapter.name)
def test_the_students_notebook_is_the_instructors_without_answers(chapter):
    book = Book(ROOT)
    instructor = notebooks.notebook(book, chapter, "instructor")
    student = notebooks.notebook(book, chapter, "student")
    assert notebooks.without_answers(instructor) == student
    assert bool(chapter.solutions) == (instructor != student)


@pytest.mark.parametrize("chapter", Book(ROOT).with_code, ids=lambda chapter: chapter.name)
def test_the_parser_sees_the_cells_that_jupytext_sees(chapter):
    """jupytext is what the book's own build trusts; our parser must not drop a cell."""
    theirs = jupytext.read(chapter.path, fmt="md:myst").cells
    code = [cell.source for cell in theirs if cell.cell_type == "code"]
    assert [block.text for block in chapter.code] == code


# What one chapter becomes


def test_the_same_bytes_each_time_and_drift_is_seen(book):
    assert notebooks.generate(book) == notebooks.generate(Book(book.root))
    assert len(notebooks.drift(book)) == 6  # two pages with code, three notebooks each
    assert len(notebooks.write(book)) == 6
    assert notebooks.write(book) == notebooks.drift(book) == []

    path = book.root / "notebooks/chapters/1-first-demo.ipynb"
    path.write_bytes(path.read_bytes().replace(b"Count", b"count", 1))
    extra = book.root / "notebooks/course/student/9-gone.ipynb"
    extra.write_text("{}")
    assert [line.split(":")[0] for line in notebooks.drift(book)] == [
        "notebooks/chapters/1-first-demo.ipynb",
        "notebooks/course/student/9-gone.ipynb",
    ]
    assert notebooks.main(["--check", "--root", str(book.root)]) == 1
    assert notebooks.main(["--root", str(book.root)]) == 0
    assert notebooks.main(["--check", "--root", str(book.root)]) == 0
    assert not extra.exists()


def test_a_change_of_one_cell_keeps_the_ids_of_the_others(book):
    before = cells(book, "chapters")
    after = cells(change(book, "files = 2 * 2 * 2", "files = 8"), "chapters")
    assert [a["id"] == b["id"] for a, b in zip(before, after, strict=True)].count(False) == 1


def test_the_student_sees_no_word_of_a_solution_and_no_note_for_teachers(book):
    chapter = book.pages["1-first/demo"]
    student, instructor = (all_text(cells(book, name)) for name in ("student", "instructor"))
    answers = [
        block.text
        for block in chapter.blocks
        if block.region and block.region.kind == "solution" and block.kind in ("code", "prose")
    ]
    assert len(answers) == 6
    for answer in answers:
        assert answer in instructor
        assert answer not in student
    assert "forget the halo" in instructor
    assert "forget the halo" not in student + all_text(cells(book, "chapters"))
    assert student.count("answer = ...") == 2
    left = notebooks.without_answers(notebooks.notebook(book, chapter, "instructor"))
    assert left == notebooks.notebook(book, chapter, "student")


def test_a_chapters_solutions_are_folded(book):
    for cell in cells(book, "chapters"):
        if cell["metadata"].get("enormous", {}).get("part") != "solution":
            continue
        if cell["cell_type"] == "code":
            assert cell["metadata"]["jupyter"] == {"source_hidden": True, "outputs_hidden": True}
        else:
            assert "<details>" in source(cell) or "is the folded cell below" in source(cell)


def test_cells_keep_what_nbval_reads_and_drop_what_the_page_reads(book):
    found = {source(cell): cell["metadata"] for cell in cells(book, "chapters")}
    plot = next(text for text in found if "plt.show()" in text)
    assert found[plot] == {"jupyter": {"source_hidden": True}}
    backend = next(text for text in found if "matplotlib.use" in text)
    assert found[backend]["tags"] == ["nbval-ignore-output"]
    forced = next(text for text in found if "forced" in text)
    assert found[forced] == {"tags": ["raises-exception"]}


def test_the_install_cell_is_the_first_code_and_does_nothing_where_installed(book):
    first = next(cell for cell in cells(book, "chapters") if cell["cell_type"] == "code")
    assert "git+https://example.org/small/book@main" in source(first)
    plain = re.sub(r"^ +%pip.*", '    raise AssertionError("installs")', source(first), flags=re.M)
    assert ast.parse(plain).body[0].handlers[0].type.id == "ImportError"
    exec(plain, {})  # enormous is installed here: nothing may happen


def test_everything_in_a_chapter_is_flattened(book):
    text = all_text(cells(book, "chapters"))
    for expected in [
        "[see its source](https://example.org/small/book/blob/main/book/1-first/demo.md)",
        "*You will be able to count the files of an array and say why. Needs [the other chapter]"
        "(reference-other.ipynb) and [A small book](",
        "Runs in 2 s with 120 MB.*",
        "Some words before",
        "``` ``{x}`` ```",
        "inline $a_{i}$ and $b^2$",
        "Here it is 8 of them",
        "Ours is 0.33.",
        "A link of 40 ms is",
        "[One (2020)](https://doi.org/10.1000/one) and [Müller et al. (2021)](https://example.org/",
        "([Müller et al. 2021](https://example.org/second); A Standards Body 2019)",
        "Every chunk is a file: `7 GB` is only code.",
        "> **Note**\n>\n> A note with OME (Open Microscopy Environment) and\n>\n> $$\n> A =",
        '> ```python\n> x = {"a": 1}\n> ```',
        "> **Why *this*?**\n>\n> Because of (1).\n>\n> > **Warning**\n> >\n> > Nested, and",
        "> > Nested, and The other chapter, a title too.",
        "$$\nV = a^3 \\tag{1}\n$$",
        "$$\nW = V^2 \\tag{2}\n$$\n\nBy (2), the figure rises.",
        "The line *rises* by 8.",
        "![A black square, one unit wide.](../../book/images/cube.svg)",
        "[its file](../../book/images/cube.svg)",
        "show. <sup>2</sup>",
        "**Two rows**\n\n| name | value |\n| --- | --- |\n| 3 | `a\\|b` |",
        "[The other chapter](reference-other.ipynb) | [up](#A-chapter-that-uses-everything)",
        "**Term**: its definition",
        "**Python**\n\nInside a tab.",
        "has something to see or try",
        "### Exercise 1: How *many*?",
        "<details>\n<summary>Solution to exercise 1</summary>\n\nDivide, then",
        "[there](https://example.org/small/book/blob/main/book/index.md)",
    ]:
        assert expected in text
    # one folder deeper, files are one step further away
    assert "(../../../book/images/cube.svg)" in all_text(cells(book, "student"))


def test_a_published_book_is_linked_page_by_page(book):
    config = book.root / "_config.yml"
    config.write_text(config.read_text() + "html: {baseurl: 'https://read.example.org/'}\n")
    text = all_text(cells(Book(book.root), "chapters"))
    assert "[read it as a page](https://read.example.org/book/1-first/demo.html)" in text


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{cite}`one2020`", "{cite}`nobody`", r"demo.md:35: citation 'nobody'"),
        ("{glue:text}`files`", "{glue:text}`file`", r"glued value 'file' is not in the recorded"),
        ("{glue:text}`ratio:.2f`", "{glue:text}`words:.2f`", "glued value 'words' is"),
        (":::{warning}", ":::{frobnicate}", r"directive 'frobnicate' is unknown"),
        ("{sup}`2`", "{frob}`2`", r"role 'frob' is unknown"),
        ("{eq}`eq-volume`", "{eq}`eq-area-2`", "no formula"),
        ("{ref}`the-other`", "{ref}`the-others`", "nothing has the label 'the-others'"),
        ("[its file](../images/cube.svg)", "[its file](cube.svg)", "'cube.svg' leads nowhere"),
        ("(../reference/other.md)", "(another.md)", "'another.md' leads nowhere"),
        ("Call `enormous info`.", "- item\n\n  ```{note}\n  x\n  ```", r"'```{' cannot be shown"),
        ("Call `enormous info`.", "Version {{ release }}.", "cannot be shown"),
        (":::{exercise-end}", ":::{solution-end}", "closes nothing"),
        ("solution-start} ex-demo-1", "solution-start} ex-demo-9", "no such exercise"),
        (":tags: [raises-exception]", ":tags: [raises-exception", "are not YAML"),
    ],
)
def test_what_cannot_be_shown_is_an_error_with_its_line(book, old, new, message):
    with pytest.raises(DataError, match=message):
        notebooks.generate(change(book, old, new))


def test_a_folder_that_is_no_book_is_a_wrong_call(tmp_path, capsys):
    with pytest.raises(UsageError, match="run it in the repository"):
        Book(tmp_path)
    assert notebooks.main(["--root", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("error: ")


# The pieces


prose = st.text(alphabet="ab`${}\\:%+~[]()<>*_ \n\t1", max_size=60)


@given(prose)
def test_spans_lose_and_invent_nothing(text):
    rebuilt = ""
    for span in spans(text):
        assert span.start >= len(rebuilt)
        if span.kind == "role":
            assert span.text in text[span.start :]
            rebuilt += text[len(rebuilt) : span.start]
            tail = re.match(r"\{[^}]*\}(`+).*?(?<!`)\1(?!`)", text[span.start :], re.S)
            assert tail is not None
            rebuilt += tail[0]
        else:
            assert text[span.start :].startswith(span.text)
            rebuilt += span.text
    assert rebuilt == text


@given(
    st.lists(
        st.sampled_from(
            [
                "# a",
                "b",
                "",
                "% c",
                "(d)=",
                "+++",
                "```{x} y\nz\n```",
                ":::{n}\n:k: v\n\nw\n:::",
                "- l\n\n  m",
                "[r]: u",
            ]
        ),
        max_size=12,
    )
)
def test_blocks_know_their_lines(parts):
    text = "\n".join(parts)
    lines = text.split("\n")
    for block in parse(text):
        first = block.text.split("\n")[0]
        assert first in lines[block.line - 1] or block.kind == "directive"
        if block.kind == "directive" and block.text:
            assert lines[block.line - 1] == first


@given(prose)
def test_flattened_prose_has_nothing_raw_or_is_refused(text):
    book = Book(MINIBOOK)
    flatten = Flattener(book, book.pages["1-first/demo"], "notebooks/chapters")
    try:
        flat = flatten.block(Block("prose", text, 1))
    except DataError:
        return  # refused, which the cases above look at; what passes must be clean
    assert raw_myst(flat) == ""


@pytest.mark.parametrize(
    ("text", "spec"),
    [("8", ""), ("8", "d"), ("8", ",d"), ("0.3333", ".2f"), ("0.5", ".0%"), ("12 GB", "s")],
)
def test_recorded_values_are_formatted_as_the_book_formats_them(text, spec):
    from myst_nb.core.variables import format_plain_text

    assert format_glued(text, spec) == format_plain_text(repr(text), spec or "s")


def test_the_install_cell_brings_all_that_chapters_import() -> None:
    """What a chapter imports is in the base install, in Python, or named in the install cell."""
    from enormous.teach.notebooks import EXTRAS, INSTALL

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    (named_extras,) = re.findall(r"enormous\[([a-z,]+)\]", INSTALL)
    wanted = [*project["dependencies"], *EXTRAS.split(), "enormous", "ipython"]
    for extra in named_extras.split(","):
        wanted += project["optional-dependencies"][extra]
    installed = {re.split(r"[\[<>=]", name)[0] for name in wanted}
    distributions = metadata.packages_distributions()
    for path in sorted((ROOT / "notebooks" / "chapters").glob("*.ipynb")):
        for cell in nbformat.read(path, 4).cells:
            if cell.cell_type == "code":
                for module in re.findall(r"^(?:import|from) (\w+)", cell.source, re.M):
                    known = module in sys.stdlib_module_names
                    assert known or set(distributions.get(module, [module])) & installed, (
                        path.name,
                        module,
                    )
