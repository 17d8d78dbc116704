"""What is known of a chapter before reading it: its card, the status page, command help.

Part of `enormous.teach.extension`. Run seconds and peak memory come from
``book/reference/runs.json``, written by ``enormous.teach.record``; reading
minutes from the chapter's words; command help from the command line itself.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

logger = logging.getLogger(__name__)

RUNS = "book/reference/runs.json"
WORDS_PER_MINUTE = 200  # slow reading, for text that one thinks about
MACHINE = {"cpu": "Processor", "cores": "Cores", "memory_gb": "Memory (GB)", "python": "Python"}
RUN_COMMAND = "import sys; sys.argv[0] = 'enormous'; from enormous.cli import main; main()"


class reading_minutes(nodes.inline):  # type: ignore[misc]  # docutils has no types
    """Stands for the reading time until the whole chapter is read."""


def setup(app: Sphinx) -> None:
    """Register the directives."""
    app.add_node(reading_minutes)
    app.add_directive("chapter-card", ChapterCard)
    app.add_directive("status-table", StatusTable)
    app.add_directive("cli-help", CliHelp)
    app.connect("doctree-read", _count_words)


def load_runs(env: BuildEnvironment) -> dict[str, Any]:
    """Read the recorded runs, and have the page read again when they change.

    Returns
    -------
    dict
        ``{"machine": {...}, "chapters": {"1-chunks/how-big": {"seconds": float,
        "peak_mb": float, ...}}}``; both empty if nothing is recorded.
    """
    path = Path(env.srcdir) / RUNS
    env.note_dependency(str(path))
    if not path.is_file():
        return {"machine": {}, "chapters": {}}
    runs: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return runs


class ChapterCard(SphinxDirective):
    """Say what a chapter gives, what it needs and what it costs."""

    option_spec: ClassVar = {
        "able": directives.unchanged_required,
        "needs": directives.unchanged_required,
    }

    def run(self) -> list[nodes.Node]:
        """Return the card."""
        if "able" not in self.options:
            raise self.error("chapter-card lacks :able: what the reader will be able to do")
        able, messages = self._line("You will be able to", self.options["able"])
        facts = [[nodes.strong("", "Reading"), nodes.Text(" "), reading_minutes()]]
        facts += [
            [nodes.strong("", label), nodes.Text(f" {value}")] for label, value in self._costs()
        ]
        if "needs" in self.options:
            needs, more = self._line("Needs", self.options["needs"])
            facts.insert(0, needs)
            messages += more
        card = nodes.container("", nodes.paragraph("", "", *able), classes=["chapter-card"])
        line = nodes.paragraph("", "", classes=["facts"])
        for fact in facts:
            line += [nodes.inline("", "", *fact, classes=["fact"]), nodes.Text(" ")]
        card += line
        return [card, *messages]

    def _line(self, label: str, markdown: str) -> tuple[list[nodes.Node], list[nodes.Node]]:
        parsed, messages = self.state.inline_text(markdown, self.lineno)
        return [nodes.strong("", label), nodes.Text(" "), *parsed], list(messages)

    def _costs(self) -> list[tuple[str, str]]:
        chapter = self.env.docname.removeprefix("book/")
        run = load_runs(self.env)["chapters"].get(chapter)
        if run is None:
            report = logger.warning if self.config.enormous_strict else logger.info
            report(
                "no run of %s is recorded; run it with: make record",
                chapter,
                location=self.get_location(),
            )
            return [("Running", "not recorded yet")]
        self._require_same_code(run)
        return [
            ("Running", _seconds(run["seconds"])),
            ("Peak memory", _megabytes(run["peak_mb"])),
        ]

    def _require_same_code(self, run: dict[str, Any]) -> None:
        """Report a run of other code than the chapter has now."""
        from enormous.teach.source import read

        chapter = read(Path(self.env.doc2path(self.env.docname)), Path(self.env.srcdir))
        if chapter.code_sha256 != run["code_sha256"]:
            report = logger.warning if self.config.enormous_strict else logger.info
            report(
                "the recorded run of %s is of older code; run it again with: make record",
                chapter.name,
                location=self.get_location(),
            )


class StatusTable(SphinxDirective):
    """Show every recorded run and the machine it ran on."""

    def run(self) -> list[nodes.Node]:
        """Return the tables, written as Markdown and parsed with the page."""
        runs = load_runs(self.env)
        if not runs["chapters"]:
            return [nodes.paragraph("", "No run is recorded yet.")]
        machine = dict(runs["machine"])
        versions = machine.pop("versions", {})
        lines = ["| Chapter | Run | Peak memory |", "|:--|--:|--:|"]
        for chapter, run in sorted(runs["chapters"].items()):
            cost = f"{_seconds(run['seconds'])} | {_megabytes(run['peak_mb'])}"
            lines.append(f"| {{doc}}`/book/{chapter}` | {cost} |")
        lines += ["", "| Machine | Value |", "|:--|:--|"]
        lines += [f"| {MACHINE.get(key, key)} | {value} |" for key, value in machine.items()]
        lines += ["", "| Package | Version |", "|:--|:--|"]
        lines += [f"| {name} | {version} |" for name, version in sorted(versions.items())]
        return self.parse_text_to_nodes("\n".join(lines))


class CliHelp(SphinxDirective):
    """Print ``enormous COMMAND --help`` as it is."""

    optional_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Return the help text in a literal block."""
        words = self.arguments[0].split() if self.arguments else []
        environment = {**os.environ, "COLUMNS": "88", "NO_COLOR": "1", "TERM": "dumb"}
        done = subprocess.run(
            [sys.executable, "-c", RUN_COMMAND, *words, "--help"],
            capture_output=True,
            text=True,
            env=environment,
        )
        if done.returncode:
            raise self.error(f"enormous {' '.join(words)} --help failed: {done.stderr.strip()}")
        lines = "\n".join(line.rstrip() for line in done.stdout.strip("\n").splitlines())
        return [nodes.literal_block(lines, lines, language="text")]


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f}\u00a0s" if seconds < 9.95 else f"{seconds:.0f}\u00a0s"


def _megabytes(megabytes: float) -> str:
    return f"{megabytes:,.0f}\u00a0MB"


def _count_words(app: Sphinx, doctree: nodes.document) -> None:
    """Put the reading time into the chapter's card."""
    for placeholder in list(doctree.findall(reading_minutes)):
        minutes = max(1, math.ceil(count_words(doctree) / WORDS_PER_MINUTE))
        placeholder.replace_self(nodes.Text(f"{minutes}\u00a0min"))


def count_words(node: nodes.Node) -> int:
    """Count the words of prose: no code, no output, no hidden solution."""
    if isinstance(node, nodes.Text):
        return len(node.split())
    if isinstance(node, nodes.literal_block | nodes.comment | nodes.raw | nodes.system_message):
        return 0
    if isinstance(node, nodes.container) and {"cell", "chapter-card"} & set(node["classes"]):
        return 0
    if type(node).__name__ == "solution_node":
        return 0
    return sum(count_words(child) for child in node.children)
