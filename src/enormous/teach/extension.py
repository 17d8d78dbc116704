"""The book's Sphinx extension: what `_config.yml` cannot say.

Named under ``sphinx: extra_extensions`` in ``_config.yml`` and loaded by
``.ci/build-book``. This module holds the settings; its neighbours hold math
(`extension_math`), links to notebooks (`extension_links`), stipulated figures
(`extension_givens`) and what is known of a chapter's run (`extension_runs`).
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config

import enormous
from enormous.teach import extension_givens, extension_links, extension_math, extension_runs
from enormous.teach.extension_runs import RUNS

CACHES_KEPT = 3
PARALLEL_SAFE = ("sphinx_multitoc_numbering", "sphinx_jupyterbook_latex")
# sphinx-togglebutton throws when a link in a folded box's title is clicked: let it be a link
LINKS_IN_TITLES = (
    'document.addEventListener("click", event => {'
    'if (event.target.closest(".admonition-title a")) event.stopPropagation();}, true);'
)
REDIRECT = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta http-equiv="refresh" content="0; url={url}"><link rel="canonical" href="{url}">
<link rel="icon" href="data:,"></head>
<body><h1>{title}</h1><p><a href="{url}">Read the book</a></p></body></html>
"""


def setup(app: Sphinx) -> dict[str, Any]:
    """Register everything; called by Sphinx."""
    # True in `.ci/build-book strict`: what an author may leave for later fails the build.
    app.add_config_value("enormous_strict", False, "", types=frozenset({bool}))
    _silence_thebe(app)
    app.add_js_file(None, body=LINKS_IN_TITLES)
    app.connect("config-inited", _set_options)
    app.connect("config-inited", _key_execution_cache)
    app.connect("config-inited", _allow_parallel_reading)
    app.connect("builder-inited", _open_execution_cache)
    app.connect("doctree-resolved", _drop_repeated_anchors)
    # before sphinx-external-toc, whose redirect has neither title nor language
    app.connect("build-finished", _write_redirect, priority=100)
    for part in (extension_math, extension_links, extension_givens, extension_runs):
        part.setup(app)
    return {"version": enormous.__version__, "parallel_read_safe": True, "env_version": 1}


def _silence_thebe(app: Sphinx) -> None:
    """Take sphinx-thebe's scripts off every page.

    Jupyter Book always loads it, ahead of this extension; with the theme's
    own copy it declares ``THEBE_JS_URL`` twice, an error in every reader's
    console, for a button that the book does not offer.
    """
    for event, listeners in app.events.listeners.items():
        app.events.listeners[event] = [
            listener for listener in listeners if listener.handler.__module__ != "sphinx_thebe"
        ]
    app.registry.css_files[:] = [
        entry for entry in app.registry.css_files if entry[0] != "sphinx-thebe.css"
    ]


def _set_options(app: Sphinx, config: Config) -> None:
    """Fill theme options one by one: setting the dict in `_config.yml` would drop the buttons."""
    options = config.html_theme_options
    options.setdefault("navbar_persistent", [])  # else a second search bar
    options.setdefault("show_toc_level", 2)
    options.setdefault("logo", {"text": config.project, "alt_text": ""})
    # the theme's empty default is an error in every reader's console
    config.html_context.setdefault("default_mode", "auto")
    if "READTHEDOCS_CANONICAL_URL" not in os.environ:
        config.notfound_urls_prefix = "/"


def code_key(root: Path) -> str:
    """Name what chapters run: the toolkit, the lock, their data files, the Python version.

    Parameters
    ----------
    root
        Folder of the book, with ``requirements.lock`` and ``book/``.

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    paths = [
        *sorted(Path(enormous.__file__).parent.rglob("*.py")),
        *sorted(Path(enormous.__file__).parent.rglob("*.json")),
        *sorted(path for path in root.glob("book/**/*.json") if path != root / RUNS),
        *root.glob("requirements.lock"),
    ]
    digest = hashlib.sha256(platform.python_version().encode())
    for path in paths:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _key_execution_cache(app: Sphinx, config: Config) -> None:
    """Give each state of the code its own execution cache.

    jupyter-cache looks at the cells alone: without the key, a changed module
    would leave old output on the page. The path is part of the environment's
    configuration, so a new key also makes Sphinx read every page anew.
    """
    caches = Path(app.srcdir) / "_build" / ".jupyter_cache"
    config.nb_execution_cache_path = str(caches / code_key(Path(app.srcdir)))


def _open_execution_cache(app: Sphinx) -> None:
    """Create the cache's database before parallel readers race to, and drop old caches."""
    from jupyter_cache import get_cache  # type: ignore[import-untyped]

    current = Path(app.config.nb_execution_cache_path)
    _ = get_cache(current).db
    os.utime(current)
    caches = sorted(current.parent.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in caches[CACHES_KEPT:]:
        shutil.rmtree(old)


def _allow_parallel_reading(app: Sphinx, config: Config) -> None:
    """Declare two extensions of Jupyter Book parallel-safe; they only act in the main process."""
    for name in PARALLEL_SAFE:
        if name in app.extensions:
            app.extensions[name].parallel_read_safe = True
            app.extensions[name].parallel_write_safe = True


def _drop_repeated_anchors(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Take off the anchors that sphinx-exercise gives to every exercise alike."""
    for section in doctree.findall(nodes.section):
        if section["ids"] in (["exercise-content"], ["solution-content"]):
            section["ids"] = []


def _write_redirect(app: Sphinx, exception: Exception | None) -> None:
    """Write `index.html`, which leads to the root page under `book/`."""
    if exception is None and app.builder.format == "html" and app.config.root_doc != "index":
        url = app.builder.get_target_uri(app.config.root_doc)
        page = REDIRECT.format(title=app.config.html_title, url=url)
        (Path(app.outdir) / "index.html").write_text(page, encoding="utf-8")
