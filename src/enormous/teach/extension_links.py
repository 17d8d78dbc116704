"""Launch and download links that open a notebook, not Markdown source.

Part of `enormous.teach.extension`. The theme points Binder and Colab at the
page's own ``.md``, which opens as raw text (Colab: not at all). Each chapter
with code has a generated notebook in ``notebooks/chapters``; links go there.
The book's widgets are copied beside the pages that show them.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

logger = logging.getLogger(__name__)

BOOK = "book/"
NOTEBOOKS = "notebooks/chapters"
# copied as they are; relative links from a chapter then hold in source and in HTML
COPIED = (NOTEBOOKS, "book/widgets")


def setup(app: Sphinx) -> None:
    """Register the handlers."""
    # "html": a notebook that appears or goes changes the buttons, so pages are written anew
    app.add_config_value("enormous_notebooks", [], "html")
    app.connect("config-inited", _list_notebooks)
    app.connect("env-check-consistency", _require_notebooks)
    app.connect("html-page-context", _rewrite_buttons, priority=900)
    app.connect("build-finished", _copy_files)


def notebook_path(docname: str) -> str:
    """Name the notebook made from a chapter.

    Parameters
    ----------
    docname
        The page's path without its suffix, such as ``book/1-chunks/how-big``.

    Returns
    -------
    str
        Path from the repository's root: ``notebooks/chapters/1-chunks-how-big.ipynb``.
    """
    return f"{NOTEBOOKS}/{docname.removeprefix(BOOK).replace('/', '-')}.ipynb"


def has_code(env: BuildEnvironment, docname: str) -> bool:
    """Tell whether a page has code cells, that is, names a kernel."""
    return "kernelspec" in env.metadata.get(docname, {})


def _list_notebooks(app: Sphinx, config: Config) -> None:
    found = (Path(app.srcdir) / NOTEBOOKS).glob("*.ipynb")
    config.enormous_notebooks = sorted(f"{NOTEBOOKS}/{path.name}" for path in found)


def _require_notebooks(app: Sphinx, env: BuildEnvironment) -> None:
    report = logger.warning if app.config.enormous_strict else logger.info
    for docname in sorted(env.found_docs):
        notebook = notebook_path(docname)
        if has_code(env, docname) and notebook not in app.config.enormous_notebooks:
            report("%s is missing; make it with: make notebooks", notebook, location=docname)


def _rewrite_buttons(
    app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: nodes.document
) -> None:
    """Point the header's buttons at the notebook, or drop those that would lead nowhere."""
    notebook = notebook_path(pagename)
    exists = notebook in app.config.enormous_notebooks
    groups = context.get("header_buttons", [])
    for group in groups:
        if group.get("label") == "launch-buttons":
            for button in group["buttons"]:
                button["url"] = button["url"].replace(f"{pagename}.md", notebook)
        if group.get("label") == "download-buttons":
            group["buttons"] = [
                button
                for button in group["buttons"]
                if exists or button["label"] != "download-notebook-button"
            ]
            for button in group["buttons"]:
                if button["label"] == "download-notebook-button":
                    button["url"] = context["pathto"](notebook, 1)
    if not exists:
        groups[:] = [group for group in groups if group.get("label") != "launch-buttons"]


def _copy_files(app: Sphinx, exception: Exception | None) -> None:
    if exception is not None or app.builder.format != "html":
        return
    for folder in COPIED:
        target = Path(app.outdir) / folder
        shutil.rmtree(target, ignore_errors=True)
        if (Path(app.srcdir) / folder).is_dir():
            shutil.copytree(Path(app.srcdir) / folder, target)
