"""Stipulated figures: the `given` role and the page that lists them for review.

Part of `enormous.teach.extension`. In the book a figure in prose is computed,
cited or stipulated. ``{given}`40 ms``` marks the third kind: shown with a
dotted underline, collected by ``{givens}`` on a review page.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective, SphinxRole
from sphinx.util.nodes import make_refnode

TITLE = "a stipulated figure, not a measurement"


class Given(NamedTuple):
    """One stipulated figure: its text, its anchor and the sentence around it."""

    text: str
    anchor: str
    context: str


class given(nodes.inline):  # type: ignore[misc]  # docutils has no types
    """A stipulated figure in prose."""


class givens(nodes.General, nodes.Element):  # type: ignore[misc]
    """Where the list of stipulated figures goes, until all pages are read."""


class GivenRole(SphinxRole):
    """Mark a figure as stipulated."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return the marked figure."""
        anchor = f"given-{self.env.new_serialno('given') + 1}"
        return [given(self.rawtext, self.text, ids=[anchor], classes=["given"])], []


class GivensDirective(SphinxDirective):
    """Stand for the list of all stipulated figures."""

    def run(self) -> list[nodes.Node]:
        """Return a placeholder; the list is made once every page is read."""
        _store(self.env)["pages"].add(self.env.docname)
        return [givens()]


def setup(app: Sphinx) -> None:
    """Register role, directive and the collection across (parallel) readers."""
    app.add_node(given, html=(_visit_given, _depart_given))
    app.add_node(givens)
    app.add_role("given", GivenRole())
    app.add_directive("givens", GivensDirective)
    app.connect("doctree-read", _collect)
    app.connect("env-purge-doc", _purge)
    app.connect("env-merge-info", _merge)
    app.connect("env-updated", _pages_to_rewrite)
    app.connect("doctree-resolved", _fill)


def _store(env: BuildEnvironment) -> dict[str, Any]:
    if not hasattr(env, "enormous_givens"):
        env.enormous_givens = {"found": {}, "pages": set()}  # type: ignore[attr-defined]
    store: dict[str, Any] = env.enormous_givens  # type: ignore[attr-defined]
    return store


def _collect(app: Sphinx, doctree: nodes.document) -> None:
    found = [
        Given(node.astext(), node["ids"][0], sentence_around(node))
        for node in doctree.findall(given)
    ]
    if found:
        _store(app.env)["found"][app.env.docname] = found


def sentence_around(node: nodes.Node) -> str:
    """Return the sentence of its paragraph that a node stands in."""
    siblings = node.parent.children
    start = sum(len(sibling.astext()) for sibling in siblings[: siblings.index(node)])
    end = 0
    for sentence in re.split(r"(?<=[.!?:;])\s+", node.parent.astext()):
        end = node.parent.astext().index(sentence, end) + len(sentence)
        if end > start:
            return " ".join(sentence.split())
    raise AssertionError("a node stands in its parent")


def _purge(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    _store(env)["found"].pop(docname, None)
    _store(env)["pages"].discard(docname)


def _merge(app: Sphinx, env: BuildEnvironment, docnames: list[str], other: Any) -> None:
    for docname in docnames:
        if docname in _store(other)["found"]:
            _store(env)["found"][docname] = _store(other)["found"][docname]
    _store(env)["pages"] |= _store(other)["pages"] & set(docnames)


def _pages_to_rewrite(app: Sphinx, env: BuildEnvironment) -> Iterable[str]:
    return sorted(_store(env)["pages"])


def _fill(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Replace the placeholder by one list per chapter, in the order of the files' names."""
    for placeholder in list(doctree.findall(givens)):
        listing: list[nodes.Node] = []
        for source, found in sorted(_store(app.env)["found"].items()):
            listing += _chapter_listing(app, docname, source, found)
        placeholder.replace_self(listing or [nodes.paragraph("", "None yet.")])


def _chapter_listing(
    app: Sphinx, docname: str, source: str, found: list[Given]
) -> list[nodes.Node]:
    title = nodes.strong("", app.env.titles[source].astext())
    heading = make_refnode(app.builder, docname, source, "", title)
    items = nodes.bullet_list()
    for entry in found:
        figure = nodes.strong("", entry.text)
        link = make_refnode(app.builder, docname, source, entry.anchor, figure)
        items += nodes.list_item(
            "", nodes.paragraph("", "", link, nodes.Text(f": {entry.context}"))
        )
    return [nodes.paragraph("", "", heading), items]


def _visit_given(self: Any, node: given) -> None:
    self.body.append(self.starttag(node, "span", "", title=TITLE))


def _depart_given(self: Any, node: given) -> None:
    self.body.append("</span>")
