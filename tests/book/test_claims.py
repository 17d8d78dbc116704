"""The book's claims: no typed measurement, every rule kept, every record of the code as it is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enormous.errors import DataError, UsageError
from enormous.teach import lint, record
from enormous.teach.prose import typed_measurements
from enormous.teach.source import Block, Book, Chapter, parse, read

ROOT = Path(__file__).parents[2]
MINIBOOK = Path(__file__).parent / "fixtures" / "minibook"
DEMO = "book/1-first/demo.md"
PAGES = list({page.name: page for page in Book(ROOT).chapters + Book(ROOT).with_code}.values())


@pytest.fixture
def book(tmp_path) -> Book:
    """Copy the small book of the fixtures to where a test may change it."""
    shutil.copytree(MINIBOOK, tmp_path / "book-root")
    return Book(tmp_path / "book-root")


def change(book: Book, old: str, new: str) -> Book:
    """Replace text in the demo chapter and read the book again."""
    path = book.root / DEMO
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return Book(book.root)


# The book itself


@pytest.mark.parametrize("chapter", PAGES, ids=lambda chapter: chapter.name)
def test_every_chapter_keeps_the_rules(chapter):
    assert [str(finding) for finding in lint.check_chapter(chapter, ROOT)] == []


def test_every_record_is_of_the_code_as_it_is():
    assert record.stale(Book(ROOT)) == {}


def test_the_chapters_stay_within_their_budget():
    assert record.over_budget(Book(ROOT)) == []


def test_the_machine_of_the_records_is_described():
    machine = Book(ROOT).runs["machine"]
    assert machine["cores"] >= 1
    assert machine["memory_gb"] > 0
    assert {"enormous", "numpy", "zarr"} <= machine["versions"].keys()


# Typed measurements


def section(text: str, *, asserts: str = "", line: int = 1) -> list[str]:
    """Return the phrases found in `text` when it follows a cell of code `asserts`."""
    blocks = [Block("code", asserts, 0, name="code-cell")] if asserts else []
    chapter = Chapter(Path("x.md"), "1-x/x", (*blocks, *parse(text, line)))
    return [phrase for _, phrase in typed_measurements(chapter)]


@pytest.mark.parametrize(
    ("sentence", "phrase"),
    [
        ("It takes 1.4 PB on disk.", "1.4 PB"),
        ("Reading took 12 ms.", "12 ms"),
        ("A 40-ms link.", "40-ms"),
        ("It wrote 2 GB/s.", "2 GB"),
        ("That is 1,234,567 bytes.", "1,234,567 bytes"),
        ("After 3 s it ended.", "3 s"),
        ("After three seconds it ended.", "three seconds"),
        ("It needs ten gigabytes.", "ten gigabytes"),
        ("It is three times as fast.", "three times as"),
        ("It is 2.5 times larger.", "2.5 times larger"),
        ("Run it three times.", "three times"),
        ("A speed-up of 1.5× was seen.", "1.5×"),
        ("A speed-up of 7x was seen.", "7x"),
        ("A tenfold gain.", "tenfold"),
        ("A 3-fold gain.", "3-fold"),
        ("It saves 28 % of the space.", "28 %"),
        ("It saves 28 percent.", "28 percent"),
        ("It is twice as fast.", "twice as fast"),
        ("Storage costs $23 a month.", "$23"),
        ("It touches 8 chunks.", "8 chunks"),
        ("It made 1,000 small files.", "1,000 small files"),
        ("It sends a million requests.", "million requests"),
        ("It has 2 million voxels.", "2 million voxels"),
        ("A voxel is 20 µm wide.", "20 µm"),
        ("| a | b |\n|---|---|\n| x | 4,096 |", "4,096"),
        (":::{note}\nIt took 5 min.\n:::", "5 min"),
        ("```{figure} x.svg\n:alt: A bar of 12 ms.\n\nIt took 7 ms.\n```", "12 ms"),
        ("A link [of 3 s](https://example.org/4 s) here.", "3 s"),
    ],
)
def test_a_typed_measurement_is_found(sentence, phrase):
    assert phrase in section(sentence)


@pytest.mark.parametrize(
    "sentence",
    [
        "It takes {glue:text}`size` on disk and {given}`40 ms` on the way.",
        "It takes {glue:text}`n` times as long.",
        "The cortex takes 1.4 PB {cite:p}`one2020`.",
        "As {cite:t}`one2020` measured, it takes 1.4 PB and 12 days.",
        "A 16-bit voxel of a 3D scan, in 8 bit, along z, y, x, in 2D.",
        "Chapter 2 of Zarr v3, Zarr 3 chunks, Python 3.11 and 2021.",
        "Look at level 3 voxels, and at exercise 2.",
        "These three planes, two axes, one voxel, two bytes.",
        "The code `read(12, 'ms')` and $12 s$ and:\n\n```\n5 GB\n```",
        "```{math}\nt = 3 s\n```",
        "See [the page](https://example.org/3-files/12 ms).",
        "## What 3 s can do",
        "1. Read it.\n2. Multiply.",
        "A shape of 806 × 629 × 629 and an edge of 64³.",
        "It costs \\$5, says nobody.",
    ],
)
def test_what_is_vouched_for_or_no_measurement_passes(sentence):
    assert section(sentence) == []


def test_an_assertion_above_vouches_and_one_elsewhere_does_not():
    assert section("It reads 8 chunks in 12 ms.", asserts="assert n == 8 and t < 0.012") == []
    assert section("It is 1.5× as quick, or 28 %.", asserts="assert 1.5 < r\nassert p == .28") == []
    assert section("It is 64 voxels.", asserts="n = 4**3") == []  # a count that the code sets
    assert section("It took 64 s.", asserts="n = 4**3") == ["64 s"]  # but not a measurement
    assert section("It took 64 s.", asserts="assert n == 4**3") == []
    assert section("It reads 9 chunks.", asserts="assert n == 8") == ["9 chunks"]
    assert section("# A\n\n## B\n\nIt takes 8 s.", asserts="assert n == 8") == ["8 s"]
    assert section("# A\n\n## In short\n\n- It takes 8 s.", asserts="assert n == 8") == []
    below = "It takes 8 s.\n\n```{code-cell} ipython3\nassert n == 8\n```"
    assert section(below) == ["8 s"]


def test_a_citation_covers_its_own_sentence_only():
    text = "It takes 1.4 PB {cite:p}`one2020`. Ours takes 3 GB. And 5 GB {cite:p}`one2020`."
    assert section(text) == ["3 GB"]
    assert section("- It takes 3 GB\n- as {cite:t}`one2020` say") == ["3 GB"]


def test_lines_are_those_of_the_file():
    blocks = tuple(parse("# T\n\nOne line,\nand 3 GB\nin it.\n\n:::{note}\nx\n\n7 ms\n:::\n"))
    found = list(typed_measurements(Chapter(Path("x.md"), "x", blocks)))
    assert found == [(4, "3 GB"), (10, "7 ms")]


quantities = st.sampled_from(["3 GB", "12 ms", "7.5 %", "1,024 files", "4×", "nine times"])
fillers = st.sampled_from(["A", "reads", "`5 GB`", "{given}`2 s`", "$n$", "it", "\n", "(then)"])


@given(st.lists(fillers, max_size=6), quantities, st.lists(fillers, max_size=6))
def test_a_measurement_is_found_wherever_it_stands(before, quantity, after):
    text = " ".join(["Now", *before, "x", quantity, "y", *after])
    assert quantity in section(text)
    assert section(text.replace(quantity, f"{{given}}`{quantity}`")) == []


# The template: each rule on a chapter that breaks it


def test_the_fixture_keeps_every_rule(book):
    assert lint.check_book(book) == []
    assert lint.main(["--root", str(book.root)]) == 0


@pytest.mark.parametrize(
    ("old", "new", "rule", "advice"),
    [
        ("Call `enormous info`.", "Call `enormous info` for 3 s.", "measurement", "{given}"),
        ("```{chapter-card}\n", "```{note}\n", "card", "one chapter-card"),
        (":needs: [the", ":wants: [the", "card", ":needs:"),
        ("## In short", "## Shortly", "parts", "add a section '## In short'"),
        ("## Count", "## In practice, now", "parts", "in its place"),
        ("\nSome {index}", "\n## Before\n\nSome {index}", "parts", "begin with"),
        ("## What comes next", "## What comes next\n\n## And then", "parts", "end with"),
        ("- **A ratio has no unit.**", "**A ratio has no unit.**", "in-short", "three to five"),
        ("- **A ratio has no unit.**", "- A ratio has no unit.", "in-short", "in bold"),
        ("Call `enormous info`.", "Call it.", "in-practice", "toolkit's call"),
        ("- {cite:t}`one2020` is where", "- That is where", "further-reading", "cite"),
        ('answer = ...  # a number\ncheck("demo-1"', 'answer = 3\ncheck("demo-1"', "exercises",
         "leave the answer open"),
        ('check("demo-2", answer)', 'print("demo-2", answer)', "exercises", "let readers check"),
        ('check("demo-2", 3 / 2)', "print(3 / 2)", "exercises", "prove the solution"),
        (":class: dropdown", ":class: open", "exercises", "hide it"),
        ("alt: A line that rises from left to right, with 1 step.", "alt: A line.", "alt",
         "say what the figure shows"),
        (":alt: A black square, one unit wide.", ":width: 20%", "alt", "say what the image shows"),
        ("Inside a tab.", "Inside.\n:::\n\n![](../images/cube.svg)\n\n:::{note}\nx", "alt",
         "between the brackets"),
        ("plt.show()", "fig", "show", "plt.show()"),
        ('print(files, "files")', "files;", "show", "semicolon"),
        ("Call `enormous info`.", "`enormous` reads (x, y, z).", "axes", "z, y, x"),
        ('print(files, "files")', "import sys\nsys.path.append('.')", "code", "toolkit"),
        ('print(files, "files")', "get_ipython().run_line_magic('time')", "code", "magic"),
        ('print(files, "files")', "print(files", "syntax", "mend"),
        ('print(files, "files")', "open('runs.json').read()", "code", "runs elsewhere"),
        ("ax.plot([0, 1], [0, 1])", "zarr.open('x')\nax.plot([0, 1], [0, 1])", "hidden", "show"),
        ("ax.plot([0, 1], [0, 1])", "assert ax\nax.plot([0, 1], [0, 1])", "hidden", "remove-cell"),
        (":tags: [nbval-ignore-output, important]", ":tags: [hide-input]", "hidden", "show"),
        ('exercise("demo-1")(lambda: 4**3)', "def f(): return 1", "hidden", "needs this function"),
    ],
)  # fmt: skip
def test_a_chapter_that_breaks_a_rule_is_reported(book, old, new, rule, advice):
    findings = lint.check_book(change(book, old, new))
    assert [f for f in findings if f.rule == rule and advice in f.advice], findings
    assert all(f"{DEMO}:{f.line}: {f.rule}: " in str(f) for f in findings)


def without(text: str, start: str, end: str) -> str:
    """Cut `text` from the first `start` up to the next `end`."""
    first = text.index(start)
    return text[:first] + text[text.index(end, first) :]


@pytest.mark.parametrize(
    ("edit", "rule", "advice"),
    [
        (lambda t: without(t, "```{code-cell} ipython3\n:tags: [raises", "## In practice"),
         "failure-lab", "execute the mistake"),
        (lambda t: without(t, ":::{exercise-start} A function", "## Further"),
         "exercises", "write at least 3"),
        (lambda t: without(t, ":::{solution-start} ex-demo-3", "## Further"),
         "exercises", "add its solution"),
        (lambda t: t.replace("ex-demo-2", "ex-two"), "exercises", "label it ex-demo-2"),
    ],
)  # fmt: skip
def test_a_chapter_that_lacks_something_is_reported(book, edit, rule, advice):
    path = book.root / DEMO
    path.write_text(edit(path.read_text(encoding="utf-8")), encoding="utf-8")
    findings = lint.check_book(Book(book.root))
    assert [f for f in findings if f.rule == rule and advice in f.advice], findings
    assert lint.main(["--root", str(book.root)]) == 1


def test_pages_outside_the_parts_are_held_to_the_rules_about_code_only(book):
    path = book.root / "book/reference/other.md"
    path.write_text(path.read_text().replace('print("other")', "open('a.json')\nplt.show()"))
    assert [f.rule for f in lint.check_book(Book(book.root))] == ["alt", "code"]


def test_an_exception_to_the_order_of_axes_is_written_down(book):
    text = "% lint: allow axes\n\nNIfTI and `enormous` write (x, y, z)."
    assert lint.check_book(change(book, "Call `enormous info`.", text)) == []


# The recorder


def test_a_book_is_recorded_once_and_again_where_its_code_changed(book):
    assert set(record.stale(book)) == {"1-first/demo", "reference/other"}
    assert record.record(book) == ["1-first/demo", "reference/other"]
    runs = json.loads((book.root / "book/reference/runs.json").read_text())
    demo = runs["chapters"]["1-first/demo"]
    assert demo["glue"] == {"files": "8", "ratio": "0.3333333333333333", "words": "it's plain"}
    assert demo["code_sha256"] == read(book.root / DEMO, book.root).code_sha256
    assert 0.2 < demo["seconds"] < record.MAX_SECONDS
    assert 30 < demo["peak_mb"] < record.MAX_PEAK_MB
    assert runs["machine"] == record.describe_machine()

    book = change(book, "Call `enormous info`.", "Call `enormous` itself.")  # prose is no code
    assert record.stale(book) == {}
    assert record.record(book) == []
    book = change(book, 'print(files, "files")', "print(files)")
    assert list(record.stale(book)) == ["1-first/demo"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("files = 2 * 2 * 2", "files = 9", r"demo.md:\d+: the cell fails: AssertionError"),
        ("files = 2 * 2 * 2", "files = 8\n!no-such-command", "AssertionError: no such command"),
        ("files = 2 * 2 * 2", "import os; os._exit(1)", "the cell fails: Kernel died"),
        ("files = 2 * 2 * 2", 'open("x.txt", "w").close(); files = 8', "leaves behind .*x.txt"),
        ("files = 2 * 2 * 2", "import tempfile; tempfile.mkdtemp(); files = 8", "leaves behind"),
        ('check("demo-2", 3 / 2)', 'check("demo-2", 3)', "solution is not right: Exercise demo-2"),
        ('glue("ratio"', 'glue("files"', "'files' is glued twice"),
    ],
)
def test_a_chapter_that_goes_wrong_is_not_recorded(book, old, new, message):
    book = change(book, old, new)
    with pytest.raises(DataError, match=message):
        record.record(book, ["1-first/demo"])
    assert "1-first/demo" in record.stale(Book(book.root))


@pytest.mark.slow
def test_peak_memory_sees_a_short_peak_and_a_child(book):
    holds = "import time; x = bytearray(10**8); time.sleep(1)"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {holds!r}])"
    for code, at_least in (("x = bytearray(3 * 10**8); del x", 330), (child, 130)):
        changed = change(book, "files = 2 * 2 * 2", f"{code}; files = 8")
        run = record.run_chapter(changed, changed.pages["1-first/demo"])
        assert at_least < run["peak_mb"] < at_least + 250
        shutil.copy(MINIBOOK / DEMO, book.root / DEMO)


def test_limits_are_kept_and_unknown_chapters_are_a_wrong_call(book):
    runs = {"code_sha256": "", "glue": {}}
    book.runs["chapters"] = {
        f"c{n}": runs | {"seconds": 61.0 if n == 0 else 59.0, "peak_mb": 1501 if n == 1 else 1}
        for n in range(9)
    }
    lines = record.over_budget(book)
    assert [line.split(":")[0] for line in lines] == ["c0", "c1", "all chapters"]
    with pytest.raises(UsageError, match="no page with code"):
        record.record(book, ["1-first/dome"])
