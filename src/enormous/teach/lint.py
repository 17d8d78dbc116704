"""Hold the chapters to the book's rules: ``python -m enormous.teach.lint``.

Called by ``make lint`` and by ``tests/book/test_claims.py``. One rule, one
function below; each yields what it finds as file, line, rule, phrase and what
to do. Typed measurements are found by ``enormous.teach.prose``.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from enormous.errors import EnormousError
from enormous.teach.notebooks import HIDDEN_SOURCE
from enormous.teach.prose import parse_code, sections, typed_measurements
from enormous.teach.source import Block, Book, Chapter, spans

MIN_EXERCISES = 3
MIN_ALT = 25  # characters: "A plot." describes nothing

#: Sections that every chapter has, in this order; each title begins so.
PARTS = ("In short", "Failure lab", "In practice", "Exercises", "Further reading")
LAST_PART = "What comes next"

_WRONG_AXES = re.compile(r"(?<![\w-])(?:x\s*,\s*y\s*,\s*z|xyz)(?![\w-])", re.I)
#: What draws; a cell that does must end in ``plt.show()``.
_DRAWING = {"figure", "subplots", "subplot_mosaic", "imshow", "plot", "hist", "bar", "scatter"}
_NOT_DRAWING = {"style", "short"}
#: What a hidden cell has no business with: a reader must see it to follow.
_NOT_PLOTTING = ("zarr", "dask", "ts", "tensorstore", "open", "store", "create_array", "write")


@dataclass(frozen=True, order=True)
class Finding:
    """Something in a chapter that breaks a rule."""

    path: str
    line: int
    rule: str
    phrase: str
    advice: str

    def __str__(self) -> str:
        """Return one line, as compilers write it."""
        return f"{self.path}:{self.line}: {self.rule}: {self.phrase!r}: {self.advice}"


Found = Iterator[tuple[int, str, str]]  # line, phrase, advice


def check_chapter(chapter: Chapter, root: Path) -> list[Finding]:
    """Return all that breaks a rule in one chapter, in order of lines.

    Outside the numbered parts only the rules about code apply. Code that
    Python cannot parse is all that is reported: the other rules read the code.
    """
    path = chapter.path.relative_to(root).as_posix()
    broken = list(_syntax(chapter))
    rules = RULES if chapter.in_part else {name: RULES[name] for name in RULES_OF_ALL_CODE}
    return sorted(
        Finding(path, line, rule, phrase, advice)
        for rule, function in ({} if broken else rules).items()
        for line, phrase, advice in function(chapter)
    ) + [Finding(path, line, "syntax", phrase, advice) for line, phrase, advice in broken]


def check_book(book: Book) -> list[Finding]:
    """Return all that breaks a rule, in the chapters and in the other pages with code."""
    pages = {page.name: page for page in (*book.chapters, *book.with_code)}
    return [found for page in pages.values() for found in check_chapter(page, book.root)]


def _measurements(chapter: Chapter) -> Found:
    for line, phrase in typed_measurements(chapter):
        yield line, phrase, "glue it, mark it {given}, cite it, or assert it in a cell above"


def _card(chapter: Chapter) -> Found:
    cards = [block for block in chapter.blocks if block.name == "chapter-card"]
    if len(cards) != 1:
        yield 1, chapter.title, f"give it one chapter-card below its title, not {len(cards)}"
        return
    first = next((b.line for b in chapter.blocks if b.kind == "heading" and b.level == 2), 0)
    if first and cards[0].line > first:
        yield cards[0].line, "chapter-card", "put it directly below the title"
    for option in ("able", "needs"):
        if not cards[0].options.get(option):
            yield cards[0].line, "chapter-card", f"fill in :{option}:"


def _parts(chapter: Chapter) -> Found:
    titles = [(b.line, b.text) for b in chapter.blocks if b.kind == "heading" and b.level == 2]
    place = -1
    for part in (*PARTS, LAST_PART):
        found = [n for n, (_, title) in enumerate(titles) if _begins(title, part)]
        if not found:
            yield 1, part, f"add a section '## {part}'"
        elif found[0] <= place:
            yield titles[found[0]][0], part, f"put it in its place: {', '.join(PARTS)}, {LAST_PART}"
        else:
            place = found[0]
    if titles and not _begins(titles[0][1], PARTS[0]):
        yield titles[0][0], titles[0][1], "begin with '## In short'"
    if titles and not _begins(titles[-1][1], LAST_PART):
        yield titles[-1][0], titles[-1][1], f"end with '## {LAST_PART}'"


def _in_short(chapter: Chapter) -> Found:
    section = _section(chapter, "In short")
    items = [
        line
        for block in section
        if block.kind == "prose"
        for line in block.text.split("\n")
        if re.match(r"[-*+]\s", line)
    ]
    line = section[0].line if section else 1
    if section and not 3 <= len(items) <= 5:
        yield line, f"{len(items)} items", "give three to five conclusions, one list item each"
    for item in items:
        if not re.match(r"[-*+]\s+\*\*\S", item):
            yield line, item[:40], "begin each conclusion in bold"


def _failure_lab(chapter: Chapter) -> Found:
    section = _section(chapter, "Failure lab")
    if section and not any(block.kind == "code" for block in section):
        yield section[0].line, section[0].text, "execute the mistake: a code cell that goes wrong"


def _in_practice(chapter: Chapter) -> Found:
    section = _section(chapter, "In practice")
    if section and not any("enormous" in block.text for block in section):
        yield section[0].line, section[0].text, "give the toolkit's call or command"


def _further_reading(chapter: Chapter) -> Found:
    section = _section(chapter, "Further reading")
    cited = any("cite" in span.role for b in section if b.kind == "prose" for span in spans(b.text))
    if section and not cited:
        yield section[0].line, section[0].text, "cite what is worth reading: {cite:p}`key`"


def _exercises(chapter: Chapter) -> Found:
    if len(chapter.exercises) < MIN_EXERCISES:
        count = len(chapter.exercises)
        yield 1, f"{count} exercises", f"write at least {MIN_EXERCISES}"
    solved = {solution.exercise: solution for solution in chapter.solutions}
    slug = chapter.name.rpartition("/")[2]
    for exercise in chapter.exercises:
        name = f"{slug}-{exercise.number}"
        if exercise.exercise != f"ex-{name}":
            yield exercise.line, exercise.exercise, f"label it ex-{name}"
        own = [b.text for b in chapter.code if b.region == exercise]
        if not any(_checks(code, name) for code in own):
            yield exercise.line, exercise.title, f'let readers check: check("{name}", answer)'
        elif not any("..." in code for code in own):
            yield exercise.line, exercise.title, "leave the answer open: answer = ..."
        solution = solved.get(exercise.exercise)
        if solution is None:
            yield exercise.line, exercise.title, "add its solution"
        elif not any(_checks(b.text, name) for b in chapter.code if b.region == solution):
            yield solution.line, exercise.title, f'prove the solution: check("{name}", answer)'
    for block in chapter.blocks:
        if block.name == "solution-start" and "dropdown" not in block.options.get("class", ""):
            yield block.line, block.argument, "hide it: ':class: dropdown'"


def _alt(chapter: Chapter) -> Found:
    for block in chapter.blocks:
        if block.kind == "code" and _draws(block):
            alt = str(block.options.get("mystnb", {}).get("image", {}).get("alt", ""))
            if len(alt) < MIN_ALT:
                yield block.line, alt, "say what the figure shows: mystnb: image: alt:"
        elif block.name in ("figure", "image"):
            if len(block.options.get("alt", "")) < MIN_ALT:
                yield block.line, block.argument, "say what the image shows: ':alt:'"
        elif block.kind == "prose":
            for match in re.finditer(r"!\[([^\]]*)\]\(", block.text):
                if len(match[1]) < MIN_ALT:
                    line = block.line + block.text.count("\n", 0, match.start())
                    yield line, match[0], "say what the image shows, between the brackets"


def _show(chapter: Chapter) -> Found:
    for block in chapter.code:
        calls = _calls(block.text)
        if _draws(block) and not calls & {"plt.show", "pyplot.show"}:
            yield block.line, _last_line(block), "end a cell that draws with plt.show()"
        if _last_line(block).endswith(";"):
            yield block.line, _last_line(block), "a trailing semicolon hides nothing under nbval"


def _axes(chapter: Chapter) -> Found:
    for before, block in zip((None, *chapter.blocks), chapter.blocks, strict=False):
        if before and before.kind == "comment" and before.text == "lint: allow axes":
            continue
        if block.kind in ("prose", "code", "heading"):
            for match in _WRONG_AXES.finditer(block.text):
                line = block.line + block.text.count("\n", 0, match.start())
                yield line, match[0], "axes are z, y, x (or put '% lint: allow axes' above)"


def _syntax(chapter: Chapter) -> Found:
    for block in chapter.code:
        try:
            parse_code(block.text)
        except SyntaxError as error:
            yield block.line + (error.lineno or 1) - 1, str(error.msg), "mend the code"


def _code(chapter: Chapter) -> Found:
    for block in chapter.code:
        for wrong, advice in (
            ("sys.path", "put the code into the toolkit and import it"),
            ("get_ipython", "write the magic as a line of its own: %name or !command"),
        ):
            if wrong in block.text:
                yield block.line, wrong, advice
        for match in re.finditer(r"\bopen\(\s*['\"](?!/)[^'\"]*['\"]", block.text):
            yield block.line, match[0], "its notebook runs elsewhere: take it from the toolkit"


def _hidden(chapter: Chapter) -> Found:
    """A cell hidden under a button draws; one that is gone glues, asserts or cleans up."""
    for block in chapter.code:
        if not HIDDEN_SOURCE & set(block.tags):
            continue
        tree, calls = parse_code(block.text), _calls(block.text)
        asserts = any(isinstance(node, ast.Assert) for node in ast.walk(tree))
        keeps = asserts or bool(calls & {"glue", "shutil.rmtree"})
        gone = bool({"remove-cell", "remove-input"} & set(block.tags))
        touched = sorted(c for c in calls if set(c.split(".")) & set(_NOT_PLOTTING))
        if touched and not gone:
            yield block.line, touched[0], "hidden cells hold plotting only: show this cell"
        elif not gone and keeps:
            yield block.line, "assert or glue", "hidden cells hold plotting only: use remove-cell"
        elif not (_draws(block) or (gone and keeps)):
            yield block.line, _last_line(block), "hidden cells hold plotting only: show this cell"
        elif gone and any(isinstance(node, ast.FunctionDef) for node in tree.body):
            yield block.line, "def", "a reader of the page needs this function: show its cell"


RULES: dict[str, Callable[[Chapter], Found]] = {
    "measurement": _measurements,
    "card": _card,
    "parts": _parts,
    "in-short": _in_short,
    "failure-lab": _failure_lab,
    "in-practice": _in_practice,
    "further-reading": _further_reading,
    "exercises": _exercises,
    "alt": _alt,
    "show": _show,
    "axes": _axes,
    "code": _code,
    "hidden": _hidden,
}
RULES_OF_ALL_CODE = ("alt", "show", "code")


def _section(chapter: Chapter, part: str) -> list[Block]:
    """Return the section whose title begins with `part`, or an empty list."""
    found = (s for s in sections(chapter) if s[0].kind == "heading" and _begins(s[0].text, part))
    return next(found, [])


def _begins(title: str, part: str) -> bool:
    return title.casefold().startswith(part.casefold())


def _draws(block: Block) -> bool:
    for call in _calls(block.text):
        owner, _, name = call.rpartition(".")
        if owner in ("plt", "pyplot") and name in _DRAWING | {"show"}:
            return True
        if owner == "figures" and name not in _NOT_DRAWING:
            return True
    return False


def _calls(code: str) -> set[str]:
    """Return the dotted names of all that a cell calls."""
    tree = parse_code(code)
    return {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}


def _checks(code: str, name: str) -> bool:
    return re.search(rf"\bcheck\(\s*['\"]{re.escape(name)}['\"]", code) is not None


def _last_line(block: Block) -> str:
    return block.text.rstrip().rpartition("\n")[2].strip()


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m enormous.teach.lint")
    parser.add_argument("--root", type=Path, help="the repository (default: found from here)")
    given = parser.parse_args(arguments)
    try:
        book = Book(given.root)
        findings = check_book(book)
    except EnormousError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    for finding in findings:
        print(finding)
    if not findings:
        print(f"{len(book.chapters)} chapters keep the rules.")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
