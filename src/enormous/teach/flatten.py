"""Turn MyST into the Markdown that JupyterLab and Colab show as it is meant.

Called by ``enormous.teach.notebooks``. Directives become block quotes, images,
formulas and headings; roles become text and links; citations name authors and
year; glued values are those of the recorded run. A directive or role that is
not known here is an error, so that nothing reaches a reader raw.
"""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Callable
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

from enormous.errors import DataError
from enormous.teach.source import Block, Book, Chapter, parse, read, spans, split_target


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


ADMONITIONS = _words(
    "attention caution danger error hint important note seealso tip warning"
    " admonition margin sidebar topic epigraph versionadded versionchanged"
)
#: Containers whose title becomes bold and whose content stands below it.
TITLED = _words("card dropdown grid grid-item grid-item-card tab-item tab-set toggle")
#: What only the page needs.
DROPPED = _words("index contents tableofcontents only tags bibliography exercise-end solution-end")
#: What only the page can show; the notebook leads there.
ONLY_ON_PAGE = _words("raw iframe eval-rst mermaid video givens status-table cli-help")

CODE_ROLES = _words(
    "class func meth mod attr data exc obj const command program file code envvar option"
)
PLAIN_ROLES = _words("given term index abbr guilabel menuselection dfn text")
TAG_ROLES = {"sub": "sub", "sup": "sup", "kbd": "kbd"}

_LINK = re.compile(
    r"(?P<image>!?)\[(?P<text>[^\[\]]*)\]\((?P<target>[^()\s]+(?:\([^()\s]*\)[^()\s]*)?)"
    r"(?P<title>\s+\"[^\"]*\")?\)"
)
_DEFINED_LINK = re.compile(r"^ {0,3}\[(?P<label>[^\]^]+)\]:[ \t]*(?P<target>\S+).*\n?", re.M)
_USED_LINK = re.compile(r"\[(?P<text>[^\[\]]+)\]\[(?P<label>[^\[\]]*)\]")
_EQUATION = re.compile(r"[ \t]*\((?P<label>[\w:.-]+)\)[ \t]*(?=\n|$)")
_ATTRIBUTES = re.compile(r"(?<=[)\]\x00])\{[.#]?[^{}\n]*\}")
_RAW = re.compile(
    r"^[ \t>]*:{3,}|^[ \t>]*[`~]{3,}\{|^\([^()\n]+\)=[ \t]*$|^\+\+\+|^%(?![%\w])"
    r"|\{[A-Za-z][\w:.+-]*\}`|\{\{.+?\}\}",
    re.M,
)


class Flattener:
    """Flatten the blocks of one chapter for notebooks in one folder.

    Parameters
    ----------
    book : Book
    chapter : Chapter
    folder : str
        Folder of the notebook below the repository's root; links to files
        lead from there.
    """

    def __init__(self, book: Book, chapter: Chapter, folder: str) -> None:
        self.book = book
        self.chapter = chapter
        self.folder = book.root / folder
        self._line = 1

    def block(self, block: Block) -> str:
        """Return the Markdown of one block; ``""`` if a notebook does not show it.

        Raises
        ------
        DataError
            If the block holds something that is not known here; the message
            names file and line.
        """
        self._line = block.line
        if block.kind == "prose":
            return self.inline(block.text)
        if block.kind == "heading":
            return f"{'#' * block.level} {self.inline(block.text)}"
        if block.kind == "directive":
            return self._directive(block)
        if block.kind == "code":
            self._fail("a code cell cannot stand inside a directive")
        return ""

    def inline(self, text: str) -> str:
        """Flatten roles and links of a piece of Markdown."""
        kept: list[str] = []  # what is finished waits here while links are looked for

        def keep(finished: str) -> str:
            kept.append(finished)
            return f"\x00{len(kept) - 1}\x00"

        parts: list[str] = []
        for span in spans(text):
            if span.kind == "role":
                parts.append(keep(self._role(span.role, span.text)))
            elif span.kind in ("math", "code"):
                parts.append(keep(span.text))
            elif kept and kept[-1].startswith("$$") and (label := _EQUATION.match(span.text)):
                kept[-1] = f"{kept[-1][:-2].rstrip()}{self._tag(label['label'])}\n$$"
                parts.append(span.text[label.end() :])
            else:
                parts.append(span.text)
        flat = "".join(parts)
        flat = re.sub(r"^(\S.*)\n:[ \t]+", r"**\1**: ", flat, flags=re.M)  # definition lists
        flat = _DEFINED_LINK.sub("", flat)
        flat = _USED_LINK.sub(self._used_link, flat)
        flat = _LINK.sub(self._link, flat)
        flat = _ATTRIBUTES.sub("", flat)
        restored = re.sub(r"\x00(\d+)\x00", lambda match: kept[int(match[1])], flat)
        left = raw_myst(restored)
        if left:
            self._fail(f"{left!r} cannot be shown in a notebook; write it another way")
        return restored

    # Directives

    def _directive(self, block: Block) -> str:
        name = block.name
        if name in DROPPED:
            return ""
        if name in ONLY_ON_PAGE:
            return f"*Here [the page]({self.page_address()}) has something to see or try.*"
        if name in ADMONITIONS:
            return self._admonition(block)
        if name in TITLED:
            title = f"**{self.inline(block.argument)}**\n\n" if block.argument else ""
            return title + self._body(block)
        handler: Callable[[Block], str] | None = getattr(
            self, "_do_" + re.sub(r"[-:.]", "_", name), None
        )
        if handler is None:
            self._fail(f"directive {name!r} is unknown to enormous.teach.flatten; teach it there")
        return handler(block)

    def _body(self, block: Block) -> str:
        inner = (self.block(part) for part in parse(block.text, block.line))
        return "\n\n".join(text for text in inner if text)

    def _admonition(self, block: Block) -> str:
        generic = block.name in ("admonition", "sidebar", "topic")
        title = block.argument if generic else _default_title(block.name)
        # "note" and its like take their first line as text, not as a title
        lead = "" if generic else block.argument
        body = "\n\n".join(filter(None, (self.inline(lead), self._body(block))))
        text = f"**{self.inline(title)}**\n\n{body}" if title else body
        return textwrap.indent(text.strip(), "> ", lambda line: True).replace("> \n", ">\n")

    def _do_chapter_card(self, block: Block) -> str:
        parts = [f"You will be able to {self.inline(block.options.get('able', '')).rstrip('.')}."]
        if block.options.get("needs"):
            parts.append(f"Needs {self.inline(block.options['needs']).rstrip('.')}.")
        run = self.book.runs["chapters"].get(self.chapter.name)
        if run:
            parts.append(f"Runs in {run['seconds']:.0f} s with {run['peak_mb']:,.0f} MB.")
        return "*" + re.sub(r"(?<!\\)\*", "", " ".join(parts)) + "*"

    def _do_exercise_start(self, block: Block) -> str:
        number = block.region.number if block.region else 0
        title = f": {self.inline(block.argument)}" if block.argument else ""
        return f"### Exercise {number}{title}"

    def _do_solution_start(self, block: Block) -> str:
        return f"#### Solution to exercise {block.region.number if block.region else 0}"

    def _do_figure(self, block: Block) -> str:
        image = f"![{block.options.get('alt', '')}]({self._target(block.argument)})"
        caption = self._body(block)
        return f"{image}\n\n{caption}" if caption else image

    _do_image = _do_figure

    def _do_math(self, block: Block) -> str:
        formula = "\n".join(filter(None, (block.argument, block.text)))
        if "\\\\" in formula and "\\begin" not in formula:  # as Sphinx does for several lines
            formula = f"\\begin{{aligned}}\n{formula}\n\\end{{aligned}}"
        return f"$$\n{formula}{self._tag(block.options.get('label'))}\n$$"

    def _tag(self, label: str | None) -> str:
        return f" \\tag{{{self._equations[label]}}}" if label in self._equations else ""

    @cached_property
    def _equations(self) -> dict[str | None, int]:
        """Number the labelled formulas of the chapter: directives and ``$$…$$ (label)``."""
        labels = []
        for block in self.chapter.blocks:
            if block.name == "math" and block.options.get("label"):
                labels.append(block.options["label"])
            elif block.kind == "prose":
                found = [*spans(block.text)]
                for math, after in pairwise(found):
                    label = _EQUATION.match(after.text) if math.text.startswith("$$") else None
                    labels += [label["label"]] if label else []
        return {label: number for number, label in enumerate(labels, 1)}

    def _do_code_block(self, block: Block) -> str:
        fence = "`" * max([3, *(len(run) + 1 for run in re.findall(r"`{3,}", block.text))])
        return f"{fence}{block.argument}\n{block.text}\n{fence}"

    _do_code = _do_sourcecode = _do_code_block

    def _do_table(self, block: Block) -> str:
        title = f"**{self.inline(block.argument)}**\n\n" if block.argument else ""
        return title + self._body(block)

    def _do_list_table(self, block: Block) -> str:
        rows: list[list[str]] = []
        for line in block.text.split("\n"):
            if match := re.match(r"[*-]\s+[*-]\s?(.*)", line):
                rows.append([match[1]])
            elif (match := re.match(r"\s+[*-]\s?(.*)", line)) and rows:
                rows[-1].append(match[1])
            elif line.strip() and rows:
                rows[-1][-1] += " " + line.strip()
        if not rows or len({len(row) for row in rows}) != 1:
            self._fail("the rows of this list-table have no or different numbers of cells")
        cells = [[self.inline(cell).replace("|", "\\|") for cell in row] for row in rows]
        if not int(block.options.get("header-rows", 0)):
            cells.insert(0, [""] * len(cells[0]))
        cells.insert(1, ["---"] * len(cells[0]))
        table = "\n".join(f"| {' | '.join(row)} |" for row in cells)
        title = f"**{self.inline(block.argument)}**\n\n" if block.argument else ""
        return title + table

    def _do_glue_text(self, block: Block) -> str:
        return self._glued(block.argument)

    _do_glue = _do_glue_md = _do_glue_text

    # Roles

    def _role(self, role: str, body: str) -> str:
        name = role.removeprefix("py:")
        title, target = split_target(body)
        if name.startswith("glue"):
            return self._glued(body)
        if name.startswith(("cite", "footcite")):
            return self._cite(name, body)
        if name in PLAIN_ROLES:
            return title or target
        if name in CODE_ROLES:
            return f"`{title or target.rpartition('.')[2] if body[0] == '~' else title or target}`"
        if name in TAG_ROLES:
            return f"<{TAG_ROLES[name]}>{body}</{TAG_ROLES[name]}>"
        if name == "math":
            return f"${body}$"
        if name == "eq":
            if body not in self._equations:
                self._fail(f"no formula of this chapter has the label {body!r}")
            return f"({self._equations[body]})"
        if name in ("ref", "numref"):
            return title.replace("%s", "") or self.inline(self._labelled(target))
        if name in ("doc", "download"):
            return f"[{title or self._page_title(target)}]({self._target(target)})"
        self._fail(f"role {role!r} is unknown to enormous.teach.flatten; teach it there")

    def _labelled(self, label: str) -> str:
        if label not in self.book.labels:
            self._fail(f"nothing has the label {label!r}")
        return self.book.labels[label]

    def _glued(self, body: str) -> str:
        document, _, rest = body.rpartition("::")
        key, _, spec = rest.partition(":")
        name = self.chapter.name
        if document:
            page = self._page(document)
            name = page.name if page else document
        glued = self.book.runs["chapters"].get(name, {}).get("glue", {})
        if key not in glued:
            self._fail(f"glued value {key!r} is not in the recorded run of {name}: run make record")
        try:
            return format_glued(glued[key], spec)
        except ValueError as error:
            self._fail(f"glued value {key!r} is {glued[key]!r}: {error}")

    def _cite(self, role: str, body: str) -> str:
        kind = role.partition(":")[2] or "p"
        entries = [self._reference(key.strip()) for key in body.split(",")]
        if kind.startswith("t"):
            return "; ".join(_linked(f"{who} ({year})", url) for who, year, url in entries)
        if kind.startswith("year"):
            return "; ".join(year for _, year, _ in entries)
        if kind.startswith("author"):
            return "; ".join(who for who, _, _ in entries)
        return f"({'; '.join(_linked(f'{who} {year}', url) for who, year, url in entries)})"

    def _reference(self, key: str) -> tuple[str, str, str]:
        references = bibliography(self.book)
        if key not in references:
            self._fail(f"citation {key!r} is not in the book's bibliography")
        return references[key]

    # Links

    def page_address(self, page: Chapter | None = None) -> str:
        """Return the address of a page: the published one, or its source's."""
        path = (page or self.chapter).path.relative_to(self.book.root)
        base = str(self.book.config.get("html", {}).get("baseurl") or "").rstrip("/")
        if base:
            return f"{base}/{path.with_suffix('.html').as_posix()}"
        return f"{self.book.repository}/blob/{self.book.branch}/{path.as_posix()}"

    def _link(self, match: re.Match[str]) -> str:
        target = match["target"]
        text = match["text"]
        if not match["image"] and not text:
            text = self._page_title(target)
        return f"{match['image']}[{text}]({self._target(target)}{match['title'] or ''})"

    def _used_link(self, match: re.Match[str]) -> str:
        """Write ``[text][label]`` in full: a definition does not reach other cells."""
        target = self._defined.get((match["label"] or match["text"]).casefold())
        return f"[{match['text']}]({target})" if target else match[0]

    @cached_property
    def _defined(self) -> dict[str, str]:
        prose = (block.text for block in self.chapter.blocks if block.kind == "prose")
        found = (match for text in prose for match in _DEFINED_LINK.finditer(text))
        return {match["label"].casefold(): match["target"] for match in found}

    def _target(self, target: str) -> str:
        target = target.strip("<>").removeprefix("project:").removeprefix("path:")
        if re.match(r"[a-z][a-z0-9+.-]*:|//", target, re.I):
            return target
        path, _, anchor = target.partition("#")
        if not path:
            title = self.book.labels.get(anchor, anchor)
            return "#" + re.sub(r"[*`]", "", title).replace(" ", "-")
        page = self._page(path)
        if page is not None:
            return f"{page.stem}.ipynb" if page.code else self.page_address(page)
        file = self._file(path)
        if not file.exists():
            self._fail(f"the link {target!r} leads nowhere")
        return Path(os.path.relpath(file, self.folder)).as_posix()

    def _file(self, path: str) -> Path:
        start = self.book.root if path.startswith("/") else self.chapter.path.parent
        return Path(os.path.normpath(start / path.lstrip("/")))

    def _page(self, path: str) -> Chapter | None:
        file = self._file(path.partition("#")[0])
        file = file if file.suffix == ".md" else file.with_name(file.name + ".md")
        for page in self.book.pages.values():
            if page.path == file:
                return page
        return read(file, self.book.root) if file.is_file() else None

    def _page_title(self, target: str) -> str:
        if target.startswith("#"):
            return self.inline(self._labelled(target[1:]))
        page = self._page(target)
        return self.inline(page.title) if page else Path(target).name

    def _fail(self, what: str) -> NoReturn:
        path = self.chapter.path.relative_to(self.book.root)
        raise DataError(f"{path}:{self._line}: {what}")


def raw_myst(text: str) -> str:
    """Return the first piece of MyST that plain Markdown would show raw, or ``""``."""
    plain = "".join(
        f"{{{span.role}}}`{span.text}`" if span.kind == "role" else span.text
        for span in spans(text)
        if span.kind in ("text", "role") or re.match(r"[ \t>]*[`~]{3,}\{", span.text)
    )
    match = _RAW.search(plain)
    return match[0].strip() if match else ""


def format_glued(text: str, spec: str) -> str:
    """Format a recorded value as myst-nb's ``{glue:text}`name:spec``` does.

    Raises
    ------
    ValueError
        If `spec` does not suit the value.
    """
    if not spec or spec.endswith("s"):
        return format(text, spec)
    if spec[-1] in "bcdoxX":
        return format(int(text), spec)
    if spec[-1] in "eEfFgGn%":
        return format(float(text), spec)
    return format(text, spec)


def bibliography(book: Book) -> dict[str, tuple[str, str, str]]:
    """Return (authors, year, address) of every entry of the book's bibliographies, by key.

    Raises
    ------
    DataError
        If a file named under ``bibtex_bibfiles`` is missing or not BibTeX.
    """
    found: dict[str, tuple[str, str, str]] = {}
    for name in book.config.get("bibtex_bibfiles") or ["book/references.bib"]:
        path = book.root / name
        if not path.is_file():
            raise DataError(f"{name}: the bibliography is missing")
        found |= _read_bibliography(path, path.stat().st_mtime_ns)
    return found


@lru_cache
def _read_bibliography(path: Path, modified: int) -> dict[str, tuple[str, str, str]]:
    """Read one file; `modified` is there so that a changed file is read anew."""
    from pybtex.database import parse_file  # type: ignore[import-untyped]
    from pybtex.exceptions import PybtexError  # type: ignore[import-untyped]

    try:
        entries = parse_file(str(path), bib_format="bibtex").entries
    except PybtexError as error:
        raise DataError(f"{path}: {error}") from error
    return {key: _summary(entry) for key, entry in entries.items()}


def _summary(entry: Any) -> tuple[str, str, str]:
    from pybtex.richtext import Text  # type: ignore[import-untyped]

    people = entry.persons.get("author") or entry.persons.get("editor") or []
    names = [
        str(Text.from_latex(" ".join(person.prelast_names + person.last_names)))
        for person in people
    ]
    if not names:
        names = [str(Text.from_latex(entry.fields.get("title", entry.key)))]
    who = f"{names[0]} et al." if len(names) > 2 else " and ".join(names)
    doi = entry.fields.get("doi", "").removeprefix("https://doi.org/")
    url = f"https://doi.org/{doi}" if doi else entry.fields.get("url", "")
    return who, entry.fields.get("year", "n.d."), url


def _linked(text: str, url: str) -> str:
    return f"[{text}]({url})" if url else text


def _default_title(name: str) -> str:
    titles = {"seealso": "See also", "margin": "", "epigraph": ""}
    return titles.get(name, name.capitalize())
