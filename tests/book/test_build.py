"""The build script and the extension, on a small book of their own.

Slow by nature (each build starts Sphinx and a kernel), so one book is taken
through its life: broken, broken in another way, whole, strict.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest
import yaml
from building import ROOT, build

import enormous
from enormous.teach import extension, source
from enormous.teach.extension_links import notebook_path
from enormous.teach.extension_math import to_mathml

HEADER = """---
jupytext:
  text_representation: {extension: .md, format_name: myst}
kernelspec: {name: python3, display_name: Python 3, language: python}
---

"""
CHAPTER = (
    HEADER
    + """# A chapter

```{chapter-card}
:able: count **chunks**
:needs: [the givens](../givens.md)
```

A link of {given}`40 ms`. It has $\\lceil n/c \\rceil$ chunks.

$$
a &= b \\\\
c &= d
$$ (two-lines)

```{exercise-start} Think
:label: think
```
How many?
```{exercise-end}
```

````{solution-start} think
:class: dropdown
````
```{code-cell} python
print("hidden", 6 * 7)
```
````{solution-end}
````

CELL
"""
)
GOOD = '```{code-cell} python\nprint("shown", 6 * 7)\n```\n'
RAISING = '```{code-cell} python\nraise ValueError("the cell broke")\n```\n'
DANGLING = GOOD + "\nSee {doc}`nowhere`.\n"
PAGES = {
    "index": "# The book\n\nWelcome.\n",
    "givens": "# Stipulated\n\n```{givens}\n```\n",
    "status": "# Status\n\n```{status-table}\n```\n",
}
TOC = "format: jb-book\nroot: book/index\nchapters:\n" + "".join(
    f"- file: book/{page}\n" for page in ("1-part/chapter", "givens", "status")
)


class SmallBook:
    """A copy of the book's machinery around a few pages."""

    def __init__(self, root: Path) -> None:
        self.root = root
        shutil.copytree(ROOT / ".ci", root / ".ci")
        for folder in ("_static", "_templates"):
            shutil.copytree(ROOT / "book" / folder, root / "book" / folder)
        for name in ("_config.yml", "requirements.lock", "book/references.bib"):
            shutil.copy(ROOT / name, root / name)
        self.write("_toc.yml", TOC)
        for name, text in PAGES.items():
            self.write(f"book/{name}.md", text)

    def write(self, name: str, text: str) -> None:
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text, encoding="utf-8")

    def chapter(self, cell: str) -> None:
        self.write("book/1-part/chapter.md", CHAPTER.replace("CELL", cell))

    def page(self, name: str) -> str:
        return (self.root / "_build/html/book" / f"{name}.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> SmallBook:
    return SmallBook(tmp_path_factory.mktemp("book"))


def test_a_failing_cell_fails_every_build(book: SmallBook) -> None:
    book.chapter(RAISING)
    for _ in range(2):
        done = build(book.root)
        assert done.returncode == 1
        assert "the cell broke" in done.stderr
        assert "1-part/chapter.md" in done.stderr


def test_a_warning_fails_every_build_and_the_repaired_book_passes(book: SmallBook) -> None:
    book.chapter(DANGLING)
    for _ in range(2):
        done = build(book.root)
        assert done.returncode == 1
        assert "nowhere" in done.stderr
    book.chapter(GOOD)
    done = build(book.root)
    assert done.returncode == 0, done.stderr
    assert "_build/html/index.html" in done.stdout
    assert "make serve" in done.stdout
    chapter = book.page("1-part/chapter")
    assert "shown 42" in chapter
    assert "hidden 42" in chapter  # a hidden solution is executed
    assert "not recorded yet" in chapter
    assert 'title="a stipulated figure, not a measurement">40 ms</span>' in chapter
    assert chapter.count("<math ") == 2
    assert "mybinder.org" not in chapter  # there is no notebook yet to open
    givens = book.page("givens")
    assert "A link of 40 ms." in givens
    anchor = re.search(r'href="1-part/chapter.html#(given-\d+)"', givens)
    assert anchor
    assert f'id="{anchor[1]}"' in chapter
    assert 'url=book/index.html"' in (book.root / "_build/html/index.html").read_text()


def test_strict_wants_a_recorded_run_and_a_notebook(book: SmallBook) -> None:
    book.chapter(GOOD)
    done = build(book.root, "strict")
    assert done.returncode == 1
    assert "no run of 1-part/chapter is recorded" in done.stderr
    notebook = "notebooks/chapters/1-part-chapter.ipynb"
    assert f"{notebook} is missing" in done.stderr
    run = {"seconds": 2.34, "peak_mb": 1234.5, "code_sha256": "old", "glue": {}}
    machine = {"cpu": "Abacus", "cores": 2, "memory_gb": 24, "versions": {"zarr": "3.1.6"}}
    runs = {"machine": machine, "chapters": {"1-part/chapter": run}}
    book.write("book/reference/runs.json", json.dumps(runs))
    book.write(notebook, "{}")
    done = build(book.root, "strict")
    assert done.returncode == 1
    assert "is of older code" in done.stderr
    chapter = source.read(book.root / "book/1-part/chapter.md", book.root)
    run["code_sha256"] = chapter.code_sha256
    book.write("book/reference/runs.json", json.dumps(runs))
    book.write("_build/html/book/gone.html", "a page of a chapter that is gone")
    done = build(book.root, "strict")
    assert done.returncode == 0, done.stderr
    assert not (book.root / "_build/html/book/gone.html").exists()
    page = book.page("1-part/chapter")
    assert re.search(r"Running</strong> 2\.3\s+s", page)
    assert re.search(r"Peak memory</strong> 1,23[45]\s+MB", page)
    assert page.count(notebook) == 3  # Binder, Colab, download
    assert (book.root / "_build/html" / notebook).is_file()
    status = book.page("status")
    assert all(word in status for word in ("A chapter", "2.3\u00a0s", "Abacus", "3.1.6"))


def test_an_unknown_argument_is_refused(tmp_path: Path) -> None:
    shutil.copytree(ROOT / ".ci", tmp_path / ".ci")
    done = build(tmp_path, "strictly")
    assert done.returncode == 2
    assert "strictly" in done.stderr


def test_changed_code_or_data_has_another_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package, data = tmp_path / "package", tmp_path / "book" / "reference"
    (package / "deep").mkdir(parents=True)
    data.mkdir(parents=True)
    monkeypatch.setattr(enormous, "__file__", str(package / "__init__.py"))
    keys = []
    for name, text in [
        ("package/deep/module.py", "x = 1"),
        ("package/deep/module.py", "x = 2"),
        ("requirements.lock", "zarr==3.1.6"),
        ("requirements.lock", "zarr==3.1.7"),
        ("book/reference/samples.json", "{}"),
    ]:
        (tmp_path / name).write_text(text)
        keys.append(extension.code_key(tmp_path))
    (package / "deep" / "module.py").rename(package / "deep" / "renamed.py")
    keys.append(extension.code_key(tmp_path))
    assert len(set(keys)) == len(keys)
    (data / "runs.json").write_text("{}")  # what a run cost does not change what it prints
    (tmp_path / "book" / "page.md").write_text("prose")
    assert extension.code_key(tmp_path) == keys[-1]


def test_notebook_names_are_flat() -> None:
    assert notebook_path("book/1-chunks/how-big") == "notebooks/chapters/1-chunks-how-big.ipynb"


@pytest.mark.parametrize("latex", [r"\foo + 1", r"\qty{3}{m}", r"a & b"])
def test_a_formula_that_does_not_convert_is_an_error(latex: str) -> None:
    with pytest.raises(ValueError, match="formula"):
        to_mathml(latex)


def test_formulas_keep_their_source_and_their_rows() -> None:
    inline = to_mathml(r"\lceil n/c \rceil")
    assert r'alttext="\lceil n/c \rceil"' in inline
    assert inline.count("<mo") == 3  # ceilings are operators, not identifiers
    for rows in (r"a &= b \\ c &= d", "\\begin{aligned}\na &= b \\\\ c &= d\n\\end{aligned}"):
        assert to_mathml(rows, block=True).count("<mtr>") == 2
    assert to_mathml("a = b\n\nc = d", block=True).count("<mtr>") == 2


def test_binder_and_read_the_docs_use_the_lock() -> None:
    post_build = ROOT / "postBuild"
    assert os.access(post_build, os.X_OK)
    assert "--require-hashes -r requirements.lock" in post_build.read_text()
    assert not (ROOT / "binder").exists()  # Binder would ignore the files at the root
    commands = yaml.safe_load((ROOT / ".readthedocs.yaml").read_text())["build"]["commands"]
    for command in commands:
        assert os.access(ROOT / command.split()[0], os.X_OK)
