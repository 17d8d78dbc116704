"""Read the book's sources: one parse of a chapter, shared by all who need it.

A chapter is MyST Markdown with a jupytext header. `parse` cuts it into blocks
(prose, headings, directives, code cells, comments), each with its line and the
exercise or solution it stands in. Called by ``enormous.teach.notebooks``,
``record`` and ``lint``, so that all three see the same chapter. `Book` knows
the settings, the order of pages and which pages hold code.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from enormous.errors import DataError, UsageError

Kind = Literal["prose", "heading", "directive", "code", "comment", "target"]

RUNS = Path("book/reference/runs.json")

_DIRECTIVE = re.compile(r"\{(?P<name>[\w:.+-]+)\}[ \t]*(?P<argument>.*)", re.S)
_OPTION = re.compile(r":(?P<key>[\w-]+):[ \t]*(?P<value>.*)")

#: A code span, a formula or a role, wherever one may stand in prose.
_SPAN = re.compile(
    r"""
      (?P<fence>^(?P<indent>[ \t>]*)(?P<marks>`{3,}|~{3,})[^\n`]*\n
       (?:.*?\n)??(?P=indent)(?P=marks)[ \t]*$)
    | (?<![\\`])(?:\{(?P<role>[A-Za-z][\w:.+-]*)\})?(?P<ticks>`+)(?!`)
      (?P<body>(?:(?!\n[ \t]*\n).)+?)(?<!`)(?P=ticks)(?!`)
    | (?P<display>(?<!\\)\$\$.+?\$\$)
    | (?P<formula>(?<![\\$\w])\$(?![\s$])(?:(?!\n[ \t]*\n)[^$])+?(?<![\s\\])\$(?![\d$]))
    """,
    re.S | re.X | re.M,
)


@dataclass(frozen=True)
class Region:
    """An exercise or a solution: what stands between its two gates.

    Attributes
    ----------
    kind : {"exercise", "solution"}
    exercise : str
        Label of the exercise, ``ex-how-big-1``, in both kinds.
    title : str
        Title of the exercise; of a solution, that of its exercise.
    number : int
        Position of the exercise in its chapter, from 1.
    line : int
        Line of the opening gate.
    """

    kind: Literal["exercise", "solution"]
    exercise: str
    title: str
    number: int
    line: int


@dataclass(frozen=True)
class Block:
    """A piece of a chapter's top level.

    Attributes
    ----------
    kind : {"prose", "heading", "directive", "code", "comment", "target"}
    text : str
        Source: of a code cell its code, of a directive its body, of a comment
        its text without the percent signs.
    line : int
        Line of `text`'s first line in the file, from 1.
    level : int
        Of a heading, 1 to 6.
    name, argument : str
        Of a directive, its name and what follows it.
    options : dict
        Of a directive (strings) or a code cell (values: ``tags``, ``mystnb``).
    region : Region or None
        The exercise or solution that the block belongs to.
    """

    kind: Kind
    text: str
    line: int
    level: int = 0
    name: str = ""
    argument: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    region: Region | None = None

    @property
    def tags(self) -> list[str]:
        """Tags of a code cell."""
        return list(self.options.get("tags", []))


@dataclass(frozen=True)
class Span:
    """A piece of prose: ``text``, ``code``, ``math`` or a ``role``, with its place."""

    kind: Literal["text", "code", "math", "role"]
    text: str
    start: int
    role: str = ""


@dataclass(frozen=True)
class Chapter:
    """A parsed page.

    Attributes
    ----------
    path : Path
        The file.
    name : str
        Path below ``book/`` without suffix: ``1-chunks/how-big``.
    blocks : tuple of Block
    """

    path: Path
    name: str
    blocks: tuple[Block, ...]

    @property
    def stem(self) -> str:
        """Name of its notebooks, without suffix: ``1-chunks-how-big``."""
        return self.name.replace("/", "-")

    @property
    def in_part(self) -> bool:
        """Whether it is a chapter proper: a page in the folder of a numbered part."""
        return re.match(r"\d+-[^/]*/", self.name) is not None

    @property
    def title(self) -> str:
        """Text of the first heading."""
        headings = (block.text for block in self.blocks if block.kind == "heading")
        return next(headings, self.name)

    @property
    def code(self) -> tuple[Block, ...]:
        """The executed cells, in order."""
        return tuple(block for block in self.blocks if block.kind == "code")

    @property
    def exercises(self) -> tuple[Region, ...]:
        """The exercises, in order."""
        return self._regions("exercise")

    @property
    def solutions(self) -> tuple[Region, ...]:
        """The solutions, in order."""
        return self._regions("solution")

    @property
    def code_sha256(self) -> str:
        """Hash of all code cells: what a recorded run is a run of."""
        digest = hashlib.sha256()
        for block in self.code:
            digest.update(block.text.encode() + b"\0")
        return digest.hexdigest()

    def _regions(self, kind: str) -> tuple[Region, ...]:
        found = dict.fromkeys(b.region for b in self.blocks if b.region and b.region.kind == kind)
        return tuple(found)


class Book:
    """The book at a repository's root: settings, pages, recorded runs.

    Parameters
    ----------
    root : Path, optional
        Folder with ``_config.yml`` and ``_toc.yml``; by default the working
        folder or the nearest folder above it that has both.

    Raises
    ------
    UsageError
        If there is no such folder.
    """

    def __init__(self, root: Path | None = None) -> None:
        here = Path.cwd() if root is None else root.resolve()
        candidates = (here, *here.parents) if root is None else (here,)
        for folder in candidates:
            if (folder / "_toc.yml").is_file() and (folder / "_config.yml").is_file():
                self.root = folder
                return
        raise UsageError(f"{here}: no _toc.yml and _config.yml; run it in the repository")

    @cached_property
    def config(self) -> dict[str, Any]:
        """Contents of ``_config.yml``."""
        return dict(_yaml(self.root / "_config.yml"))

    @property
    def repository(self) -> str:
        """Address of the repository, from ``repository: url:``."""
        url = self.config.get("repository", {}).get("url", "")
        if not url:
            raise DataError(f"{self.root / '_config.yml'}: set repository: url:")
        return str(url).rstrip("/")

    @property
    def branch(self) -> str:
        """Branch that links lead to."""
        return str(self.config.get("repository", {}).get("branch", "main"))

    @cached_property
    def pages(self) -> dict[str, Chapter]:
        """Every Markdown page of the table of contents by name, parsed, in order."""
        found = {}
        for entry in _toc_files(_yaml(self.root / "_toc.yml")):
            path = self.root / entry
            path = path if path.suffix == ".md" else path.with_name(path.name + ".md")
            if not path.is_file():
                raise DataError(f"_toc.yml: {entry}: there is no {path.name} there")
            chapter = read(path, self.root)
            found[chapter.name] = chapter
        return found

    @property
    def with_code(self) -> list[Chapter]:
        """The pages that have code cells: each has a notebook and a recorded run."""
        return [page for page in self.pages.values() if page.code]

    @property
    def chapters(self) -> list[Chapter]:
        """The chapters proper, in order."""
        return [page for page in self.pages.values() if page.in_part]

    @cached_property
    def runs(self) -> dict[str, Any]:
        """The recorded runs; see ``enormous.teach.record`` for the layout."""
        path = self.root / RUNS
        if not path.is_file():
            return {"machine": {}, "chapters": {}}
        try:
            runs: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise DataError(f"{path}: not JSON ({error}); delete it and run make record") from error
        return runs

    @cached_property
    def labels(self) -> dict[str, str]:
        """Titles of labelled headings (``(label)=``), exercises and figures, of all pages."""
        found: dict[str, str] = {}
        for page in self.pages.values():
            for before, block in pairwise(page.blocks):
                if before.kind == "target" and block.kind == "heading":
                    found[before.text] = block.text
            for exercise in page.exercises:
                found[exercise.exercise] = f"Exercise {exercise.number}"
            found |= {name: "the figure" for name in map(_figure_name, page.blocks) if name}
        return found


def read(path: Path, root: Path) -> Chapter:
    """Parse the page at `path`; `root` is the repository's folder."""
    base = root / "book"
    inside = path.relative_to(base if path.is_relative_to(base) else root)
    text = path.read_text(encoding="utf-8")
    try:
        blocks = tuple(_with_regions(parse(text)))
    except DataError as error:
        raise DataError(f"{path.relative_to(root)}:{error}") from error
    return Chapter(path, inside.with_suffix("").as_posix(), blocks)


def parse(text: str, line: int = 1) -> list[Block]:
    """Cut MyST Markdown into its top-level blocks.

    Parameters
    ----------
    text : str
        A page, or the body of a directive.
    line : int
        Line of the file that `text` starts on.

    Returns
    -------
    list of Block
        In order, without front matter and block breaks, regions not yet set.

    Raises
    ------
    DataError
        If a code cell's options are not YAML.
    """
    lines = text.split("\n")
    blocks: list[Block] = []
    done = 0  # lines before this one are in a block; what lies between blocks is prose
    tokens = _parser().parse(text)
    for position, token in enumerate(tokens):
        if token.level != 0 or token.map is None or token.nesting == -1:
            continue
        first, last = token.map
        here = line + first
        found: list[Block] = []
        special = _DIRECTIVE.match(token.info.strip()) if token.type.endswith("fence") else None
        if special:
            found = [_directive(special["name"], special["argument"], token.content, here)]
        elif token.type == "heading_open":
            found = [Block("heading", tokens[position + 1].content, here, int(token.tag[1]))]
        elif token.type == "myst_target":
            found = [Block("target", token.content, here)]
        elif token.type == "myst_line_comment":
            comment = "\n".join(part.removeprefix(" ") for part in token.content.split("\n"))
            found = [Block("comment", comment.strip(), here)]
        elif token.type not in ("myst_block_break", "front_matter"):
            continue
        blocks += _prose(lines, done, first, line) + found
        done = last
    return blocks + _prose(lines, done, len(lines), line)


def spans(text: str) -> Iterator[Span]:
    """Cut prose into plain text, code spans, formulas and roles, in order."""
    end = 0
    for match in _SPAN.finditer(text):
        if match.start() > end:
            yield Span("text", text[end : match.start()], end)
        if match["role"]:
            yield Span("role", match["body"], match.start(), match["role"])
        elif match["ticks"] or match["fence"]:
            yield Span("code", match[0], match.start())
        else:
            yield Span("math", match[0], match.start())
        end = match.end()
    if end < len(text):
        yield Span("text", text[end:], end)


def split_target(body: str) -> tuple[str, str]:
    """Split a role's ``title <target>`` into both; without a title the first is empty."""
    match = re.fullmatch(r"(?P<title>.*?)\s*<(?P<target>[^<>]+)>", body, re.S)
    return (match["title"], match["target"]) if match else ("", body)


def _prose(lines: list[str], first: int, last: int, line: int) -> list[Block]:
    """Make a block of lines `first` to `last`, exclusive; none if they are blank."""
    while first < last and not lines[first].strip():
        first += 1
    text = "\n".join(lines[first:last]).rstrip()
    return [Block("prose", text, line + first)] if text else []


def _directive(name: str, argument: str, content: str, line: int) -> Block:
    """Make a block of a fenced directive whose opening fence is on `line`."""
    lines = content.split("\n")
    start = 0
    if lines[0].strip() == "---":
        start = next((n for n, text in enumerate(lines[1:], 1) if text.strip() == "---"), 0) + 1
        options = _options(lines[1 : start - 1], line)
    elif name == "code-cell":  # every option line begins with a colon, nested ones too
        while start < len(lines) and lines[start].startswith(":"):
            start += 1
        options = _options([text[1:] for text in lines[:start]], line)
    else:
        while start < len(lines) and (
            _OPTION.match(lines[start]) or (start and re.match(r"[ \t]+\S", lines[start]))
        ):
            start += 1
        options = _plain_options(lines[:start])
    body = "\n".join(lines[start:])
    skipped = len(body) - len(body.lstrip("\n"))
    kind: Kind = "code" if name == "code-cell" else "directive"
    return Block(
        kind,
        body.strip("\n"),
        line + 1 + start + skipped,
        name=name,
        argument=argument.strip(),
        options=options,
    )


def _figure_name(block: Block) -> str:
    """Return the label of a figure, drawn or executed, or ``""``."""
    if block.kind == "code":
        return str(block.options.get("mystnb", {}).get("figure", {}).get("name", ""))
    return str(block.options.get("name", "")) if block.name == "figure" else ""


def _options(header: list[str], line: int) -> dict[str, Any]:
    import yaml  # type: ignore[import-untyped]

    try:
        options = yaml.safe_load("\n".join(header)) or {}
    except yaml.YAMLError as error:
        raise DataError(f"{line}: the options are not YAML: {error}".replace("\n", " ")) from error
    if not isinstance(options, dict):
        raise DataError(f"{line}: the options are not 'key: value' lines")
    return options


def _plain_options(header: list[str]) -> dict[str, Any]:
    """Read ``:key: value`` lines; an indented line continues the one above."""
    options: dict[str, Any] = {}
    key = ""
    for text in header:
        match = _OPTION.match(text)
        if match:
            key = match["key"]
            options[key] = match["value"].strip()
        else:
            options[key] = f"{options[key]} {text.strip()}".strip()
    return options


def _with_regions(blocks: list[Block]) -> Iterator[Block]:
    """Give each block its exercise or solution; the gates themselves belong to it."""
    exercises: dict[str, Region] = {}
    region: Region | None = None
    for block in blocks:
        if block.name in ("exercise", "solution"):
            raise DataError(f"{block.line}: use {block.name}-start and {block.name}-end")
        opens = block.name in ("exercise-start", "solution-start")
        closes = block.name in ("exercise-end", "solution-end")
        if opens and region:
            raise DataError(f"{block.line}: the {region.kind} of line {region.line} is still open")
        if closes and (region is None or not block.name.startswith(region.kind)):
            raise DataError(f"{block.line}: {block.name} closes nothing")
        if block.name == "exercise-start":
            label = str(block.options.get("label", f"exercise-{len(exercises) + 1}"))
            region = Region("exercise", label, block.argument, len(exercises) + 1, block.line)
            exercises[label] = region
        elif block.name == "solution-start":
            solved = exercises.get(block.argument)
            if solved is None:
                raise DataError(f"{block.line}: solution of {block.argument!r}: no such exercise")
            region = replace(solved, kind="solution", line=block.line)
        yield replace(block, region=region)
        if closes:
            region = None
    if region:
        raise DataError(f"{region.line}: this {region.kind} is never closed")


def _parser() -> Any:
    from markdown_it import MarkdownIt
    from mdit_py_plugins.colon_fence import colon_fence_plugin
    from mdit_py_plugins.front_matter import front_matter_plugin
    from mdit_py_plugins.myst_blocks import myst_block_plugin

    parser = MarkdownIt("commonmark").enable("table")
    return parser.use(front_matter_plugin).use(colon_fence_plugin).use(myst_block_plugin)


def _yaml(path: Path) -> Any:
    import yaml

    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise DataError(f"{path}: not YAML: {error}".replace("\n", " ")) from error


def _toc_files(node: Any) -> Iterator[str]:
    """Yield the files of a table of contents in reading order."""
    if isinstance(node, list):
        for item in node:
            yield from _toc_files(item)
    elif isinstance(node, dict):
        for key in ("root", "file"):
            if key in node:
                yield str(node[key])
        for key in ("parts", "chapters", "sections", "subtrees", "entries"):
            yield from _toc_files(node.get(key, []))
