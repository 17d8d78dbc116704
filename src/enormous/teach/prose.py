"""Find typed measurements: numbers in prose that nothing in the chapter vouches for.

Called by ``enormous.teach.lint``. A quantity (a number with a unit, a ratio, a
count of files, chunks and the like) may stand in prose if it is glued, marked
``{given}``, in a sentence with a citation, or asserted by a cell above it in
its section. What the cells of a section merely *set* (a count, a length) may
also be named in its text, and a figure's description may name what its cell
draws. Exercises state their premises; their solutions may use them. Headings,
years, versions, bit depths and small spelled-out counts are not looked at.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from enormous.teach.flatten import ADMONITIONS, TITLED
from enormous.teach.source import Block, Chapter, parse, spans

_SMALL = {
    **{"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9},
    **{"ten": 10, "eleven": 11, "twelve": 12, "fifteen": 15, "twenty": 20, "thirty": 30},
    **{"forty": 40, "fifty": 50, "sixty": 60, "eighty": 80, "ninety": 90},
}
_LARGE = {"hundred": 1e2, "thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12}
_SCALES = {"n": 1e-9, "µ": 1e-6, "u": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}

_DIGITS = r"(?<![\w.,])(?P<digits>\d{1,3}(?:[,\u00a0\u202f]\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?)"
_NUMBER = rf"{_DIGITS}[⁰¹²³⁴⁵⁶⁷⁸⁹]*(?:\s(?P<magnitude>{'|'.join(_LARGE)}))?"
_SPELLED = rf"\b(?P<word>{'|'.join([*_SMALL, *_LARGE])})"
_COUNTED = (
    r"(?:voxels|pixels|chunks|shards|files|objects|requests|reads|writes|blocks|slices|planes"
    r"|cores|threads|workers|tasks|copies|images|scans|samples|boxes|rows|columns|records)\b"
)
_LONGER = (
    r"(?:as|the|its|their|more|less|fewer|too|(?:larg|small|slow|fast|quick|long|short|cheap|bigg"
    r"|great|low|high|fin|wid|deep|strong|dens|coars|heavi|wors|bett)er)\b"
)

#: Patterns of what is measured: it must be computed, cited, stipulated or asserted.
_MEASURED = (
    rf"{_NUMBER}[\s\u00a0-]?(?P<unit>[kKMGTPE]?i?B|[kMGT]?bit/s|[nµum]?s|min|h|[kMG]?Hz)(?![\w])",
    rf"{_NUMBER}[\s\u00a0-]?(?:%|per ?cent\b|(?P<named>(?:kilo|mega|giga|tera|peta)?bytes?)\b)",
    rf"(?:{_NUMBER}|{_SPELLED})[\s-](?P<time>(?:milli|micro|nano)?seconds?|minutes?|hours?|days?"
    r"|weeks?)\b",
    rf"{_SPELLED}[\s-](?:(?:kilo|mega|giga|tera|peta)bytes?|per ?cent)\b",
    rf"{_NUMBER}\s?×(?![\s\u00a0]*\d)",
    rf"{_DIGITS}x\b(?!\s*\d)",
    rf"(?:{_NUMBER}|{_SPELLED})[\s-]?fold\b",
    rf"(?:{_NUMBER}|{_SPELLED})\stimes\s{_LONGER}",
    r"\b(?:twice|half) as (?:fast|slow|quick|long|much|many|large|small|big|expensive|cheap)\b",
    r"(?<!\\)[$€£]\s?\d[\d,.]*\d|(?<!\\)[$€£]\s?\d",
)
#: Patterns of what a cell may simply set.
_SET = (
    rf"{_NUMBER}(?:\s(?!and|or|of|to|in|by|is|are|at|for)[a-z-]+)?\s{_COUNTED}",
    rf"\b(?P<word>{'|'.join(_LARGE)})s?(?:\s[a-z-]+)?\s{_COUNTED}",
    rf"{_NUMBER}[\s\u00a0-]?(?:[nµumck]?m|(?:nano|micro|milli|centi)met(?:re|er)s?)(?![\w])",
    rf"(?:{_NUMBER}|{_SPELLED})\stimes\b(?!\s{_LONGER})",
    rf"(?<=\|)\s*{_NUMBER}\s*(?=\|)",
)
#: "Zarr 3 chunks", "level 2 voxels": the number names, it does not count.
_NAMING = re.compile(
    r"(?:zarr|python|version|format|chapter|exercise|part|level|step|figure|table|section|v)\s$",
    re.I,
)
_SENTENCE_END = re.compile(
    r"(?<=[.!?])[\"”’)*_]*\s+(?=[A-Z“\"*_\[(\x01\x02\d])|\n\s*\n|\n(?=\s*(?:[-*+]|\d+\.)\s)|\n(?=\|)"
)
_OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}


@dataclass
class Known:
    """Numbers that code vouches for: all of them, and those in assertions."""

    numbers: set[float] = field(default_factory=set)
    asserted: set[float] = field(default_factory=set)
    in_text: set[float] = field(default_factory=set)

    def add(self, code: str) -> None:
        """Collect the numbers of a code cell."""
        tree = parse_code(code)
        for node in ast.walk(tree):
            self.numbers |= _numbers(node)
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                self.in_text |= {_value(match) for match in re.finditer(_NUMBER, node.value)}
            if isinstance(node, ast.Assert):
                for part in ast.walk(node.test):
                    self.asserted |= _numbers(part)


def typed_measurements(chapter: Chapter) -> Iterator[tuple[int, str]]:
    """Yield (line, phrase) of each number in prose that nothing vouches for."""
    everything = Known()
    for block in chapter.code:
        everything.add(block.text)
    for section in sections(chapter):
        summary = section[0].kind == "heading" and section[0].text.casefold() == "in short"
        section_knows = _known(section)
        for block in section:
            if block.region and block.region.kind == "exercise":
                continue
            above = everything if summary else _known(b for b in section if b.line < block.line)
            premises = _premises(chapter, block)
            for text, line, describes in _texts(block):
                measured = above.asserted | premises
                counted = section_knows.numbers | measured
                if describes:  # a figure's description names what is drawn
                    measured = counted = counted | section_knows.in_text
                yield from _unvouched(text, line, measured, counted)


def sections(chapter: Chapter) -> Iterator[list[Block]]:
    """Yield the blocks of a chapter section by section, at headings of the first two levels."""
    section: list[Block] = []
    for block in chapter.blocks:
        if block.kind == "heading" and block.level <= 2 and section:
            yield section
            section = []
        section.append(block)
    if section:
        yield section


def parse_code(code: str) -> ast.Module:
    """Parse a cell, shell commands and magics passed over."""
    plain = re.sub(r"^([ \t]*)(?:[%!].*|\w+\s*=\s*!.*)$", r"\1pass", code, flags=re.M)
    return ast.parse(plain)


def _unvouched(
    text: str, line: int, measured: set[float], counted: set[float]
) -> Iterator[tuple[int, str]]:
    blanked = _blank(text)
    found: list[tuple[int, int, str]] = []
    for patterns, known in ((_MEASURED, measured), (_SET, counted)):
        for pattern in patterns:
            for match in re.finditer(pattern, blanked):
                start, end = match.span()
                taken = any(start < e and s < end for s, e, _ in found)
                cited = "\x01" in _sentence(blanked, start)
                naming = _NAMING.search(blanked[:start]) and match.groupdict().get("digits")
                if taken or cited or naming or _vouched(match, known):
                    continue
                found.append((start, end, " ".join(match[0].strip(" |").split())))
    for start, _, phrase in sorted(found):
        yield line + text.count("\n", 0, start), phrase


def _vouched(match: re.Match[str], known: set[float]) -> bool:
    value = _value(match)
    if math.isnan(value):
        return False
    unit = match.groupdict().get("unit") or ""
    scaled = {value, value / 100 if "%" in match[0] or "cent" in match[0] else value}
    if len(unit) > 1 and unit[0] in _SCALES:
        scaled.add(value * _SCALES[unit[0]])
    return any(math.isclose(a, b, rel_tol=1e-9) for a in scaled for b in known)


def _value(match: re.Match[str]) -> float:
    """Return the number of a match, NaN if it has none (``twice as``)."""
    groups = match.groupdict()
    if groups.get("digits"):
        return float(re.sub(r"[,\u00a0\u202f]", "", groups["digits"])) * _LARGE.get(
            groups.get("magnitude") or "", 1
        )
    return (_SMALL | _LARGE).get(groups.get("word") or "", math.nan)


def _numbers(node: ast.AST) -> set[float]:
    """Return the value of a constant or an arithmetic expression of constants."""
    value = _fold(node)
    return set() if value is None or not math.isfinite(value) else {float(value)}


def _fold(node: ast.AST) -> float | None:
    if isinstance(node, ast.Constant):
        plain = isinstance(node.value, int | float) and not isinstance(node.value, bool)
        return float(node.value) if plain else None  # type: ignore[arg-type]
    if isinstance(node, ast.BinOp):
        left, right = _fold(node.left), _fold(node.right)
        if left is None or right is None:
            return None
        if isinstance(node.op, ast.Pow):
            return left**right if abs(left) < 1e6 and 0 <= right <= 12 else None
        apply = _OPERATORS.get(type(node.op))
        divides = isinstance(node.op, ast.Div | ast.FloorDiv)
        return apply(left, right) if apply and not (divides and right == 0) else None
    return None


def _known(blocks: Iterable[Block]) -> Known:
    known = Known()
    for block in blocks:
        if block.kind == "code":
            known.add(block.text)
    return known


def _premises(chapter: Chapter, block: Block) -> set[float]:
    """Return what a solution may state: the numbers of its exercise and of its own code."""
    if block.region is None or block.region.kind != "solution":
        return set()
    known = Known()
    stated: set[float] = set()
    for other in chapter.blocks:
        if other.region and other.region.exercise == block.region.exercise:
            if other.kind == "code":
                known.add(other.text)
            elif other.kind == "prose" and other.region.kind == "exercise":
                stated |= {_value(match) for match in re.finditer(_NUMBER, other.text)}
    return stated | known.numbers


def _texts(block: Block) -> Iterator[tuple[str, int, bool]]:
    """Yield (text, line, whether it describes a figure) of all that a block lets people read."""
    if block.kind == "prose":
        yield block.text, block.line, False
    elif block.kind == "code":
        mystnb = block.options.get("mystnb", {})
        yield str(mystnb.get("image", {}).get("alt", "")), block.line, True
        yield str(mystnb.get("figure", {}).get("caption", "")), block.line, False
    elif block.name == "chapter-card":
        yield (
            f"{block.options.get('able', '')}\n{block.options.get('needs', '')}",
            block.line,
            False,
        )
    elif block.name in ("figure", "image"):
        yield block.options.get("alt", ""), block.line, True
        yield block.text, block.line, False
    elif block.name in ADMONITIONS or block.name in TITLED or block.name == "table":
        yield block.argument, block.line, False
        for inner in parse(block.text, block.line):
            yield from _texts(inner)
    elif block.name == "list-table":
        yield block.text, block.line, False


def _blank(text: str) -> str:
    """Blank out all but plain words, keeping their places; citations become ``\\x01``."""
    pieces = [*spans(text)]
    starts = [piece.start for piece in pieces] + [len(text)]
    blanked = []
    for piece, end in zip(pieces, starts[1:], strict=False):
        raw = text[piece.start : end]
        if piece.kind == "text":
            blanked.append(raw)
        else:
            mark = "\x01" if "cite" in piece.role else "\x02"
            blanked.append(re.sub(r"[^\n]", mark, raw))
    joined = "".join(blanked)
    return re.sub(r"\]\([^()\n]*\)|<https?:[^>\n]*>", lambda m: "\x02" * len(m[0]), joined)


def _sentence(text: str, position: int) -> str:
    """Return the sentence, list item or table row around a position."""
    start = 0
    for match in _SENTENCE_END.finditer(text):
        if match.start() >= position:
            return text[start : match.start()]
        start = match.end()
    return text[start:]
