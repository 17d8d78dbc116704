"""Formulas as MathML, made when the book is built.

Part of `enormous.teach.extension` (``html_math_renderer: mathml``). The usual
renderer sends each reader's browser to another host for MathJax; MathML needs
no script, works offline and is read aloud by screen readers.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from html import escape
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

logger = logging.getLogger(__name__)

# environments that the converter lacks, by those it has
ENVIRONMENTS = {"aligned": "align*", "split": "align*", "gathered": "gather*"}
NAMESPACE = "http://www.w3.org/1998/Math/MathML"
FENCES = dict(zip("⌈⌉⌊⌋", ("prefix", "postfix") * 2, strict=True))


def setup(app: Sphinx) -> None:
    """Register the renderer under the name ``mathml``."""
    app.add_html_math_renderer("mathml", (_visit_inline, None), (_visit_block, None))


def to_mathml(latex: str, *, block: bool = False) -> str:
    r"""Convert a LaTeX formula to a ``<math>`` element.

    Parameters
    ----------
    latex
        The formula without its dollars. Lines that end in ``\\`` are aligned
        at ``&``; blank lines separate formulas, as elsewhere in Sphinx.
    block
        Whether it is set on lines of its own.

    Returns
    -------
    str
        One ``<math>`` element, with the source as its ``alttext``.

    Raises
    ------
    ValueError
        If the formula has a command that the converter does not know, which
        it would otherwise print as it stands.
    """
    from latex2mathml.converter import convert

    source = _one_environment(latex.strip()) if block else latex.strip()
    markup = convert(source, display="block" if block else "inline")
    try:
        root = ET.fromstring(markup)
    except ET.ParseError as error:
        raise ValueError(f"formula {latex!r} does not convert to MathML: {error}") from error
    for element in root.iter():
        _repair(element, latex)
    root.set("alttext", " ".join(latex.split()))
    ET.register_namespace("", NAMESPACE)
    return ET.tostring(root, encoding="unicode")


def _one_environment(latex: str) -> str:
    """Rewrite several lines as one aligned environment that the converter has."""
    for unknown, known in ENVIRONMENTS.items():
        latex = re.sub(rf"\\(begin|end){{{unknown}}}", rf"\\\1{{{known}}}", latex)
    # numbers come from Sphinx, which can link to them
    latex = re.sub(r"\\(begin|end){(align|gather)}", r"\\\1{\2*}", latex)
    latex = re.sub(r"\\(begin|end){equation\*?}", "", latex)
    latex = r" \\ ".join(part.strip() for part in re.split(r"\n\s*\n", latex) if part.strip())
    if r"\\" in latex and r"\begin" not in latex:
        latex = rf"\begin{{align*}}{latex}\end{{align*}}"
    return latex


def _repair(element: ET.Element, latex: str) -> None:
    """Set bare ceilings and floors as operators, and refuse what was left unconverted."""
    text = element.text or ""
    if text in FENCES and element.tag == f"{{{NAMESPACE}}}mi":
        element.tag = f"{{{NAMESPACE}}}mo"
        element.attrib.update(fence="true", stretchy="false", form=FENCES[text])
    if text.startswith("\\") and len(text) > 1:
        raise ValueError(f"formula {latex!r} uses {text}, which MathML conversion does not know")


def _render(node: Any, latex: str, *, block: bool) -> str:
    try:
        return to_mathml(latex, block=block)
    except ValueError as error:
        logger.warning("%s", error, location=node, type="enormous", subtype="math")
        return f"<code>{escape(latex)}</code>"


def _visit_inline(self: Any, node: nodes.math) -> None:
    self.body.append(_render(node, node.astext(), block=False))
    raise nodes.SkipNode


def _visit_block(self: Any, node: nodes.math_block) -> None:
    self.body.append(self.starttag(node, "div", CLASS="math"))
    self.body.append(_render(node, node.astext(), block=True))
    if node["number"]:
        self.body.append(f'<span class="eqno">({get_node_equation_number(self, node)})')
        self.add_permalink_ref(node, "Link to this equation")
        self.body.append("</span>")
    self.body.append("</div>\n")
    raise nodes.SkipNode
