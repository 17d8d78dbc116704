"""Links that leave the book: to its notebooks, its sources and the literature."""

from __future__ import annotations

import re
import subprocess
from urllib.parse import parse_qs, urlsplit

import yaml
from building import ROOT
from pages import Page

from enormous.teach.extension_links import notebook_path

Pages = dict[str, Page]
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
REPOSITORY = CONFIG["repository"]["url"]
BRANCH = CONFIG["repository"]["branch"]
OWNER = urlsplit(REPOSITORY).path.strip("/")
PREFIXES = {
    "binder": f"{CONFIG['launch_buttons']['binderhub_url']}/v2/gh/{OWNER}/{BRANCH}",
    "colab": f"{CONFIG['launch_buttons']['colab_url']}/github/{OWNER}/blob/{BRANCH}/",
    "edit": f"{REPOSITORY}/edit/{BRANCH}/",
}


def has_code(path: str) -> bool:
    source = (ROOT / path).with_suffix(".md")
    return source.is_file() and "{code-cell}" in source.read_text(encoding="utf-8")


def opened(page: Page, kind: str) -> list[str]:
    """Return the repository paths that a page's links of one kind open."""
    found = []
    for address in page.linked():
        if not address.startswith(PREFIXES[kind]):
            continue
        if kind == "binder":
            (where,) = parse_qs(urlsplit(address).query)["urlpath"]
            found.append(where.removeprefix("lab/tree/"))
        else:
            found.append(address.removeprefix(PREFIXES[kind]))
    return found


def test_launch_buttons_open_the_notebook_of_their_page(pages: Pages) -> None:
    launched = 0
    for path, page in pages.items():
        notebook = notebook_path(path.removesuffix(".html"))
        expected = [notebook] if has_code(path) else []
        assert opened(page, "binder") == expected, path
        assert opened(page, "colab") == expected, path
        assert not expected or (ROOT / notebook).is_file(), notebook
        launched += len(expected)
    assert launched


def test_the_notebook_can_be_downloaded_from_its_page(pages: Pages) -> None:
    for path, page in pages.items():
        if has_code(path):
            notebook = notebook_path(path.removesuffix(".html"))
            assert [a for a in page.linked() if a.endswith(f"/{notebook}")], path


def test_edit_buttons_open_the_source_of_their_page(pages: Pages) -> None:
    for path, page in pages.items():
        source = path.replace(".html", ".md")
        if (ROOT / source).is_file():
            assert set(opened(page, "edit")) == {source}, path


def test_the_repository_is_named_in_one_place() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "book", "src", ".ci", "_toc.yml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert tracked
    naming = [
        name
        for name in tracked
        if name.endswith((".md", ".py", ".yml", ".html", ".js", ".bib"))
        and REPOSITORY in (ROOT / name).read_text(encoding="utf-8")
    ]
    assert naming == []


def test_every_reference_can_be_followed() -> None:
    from pybtex.database import parse_file

    entries = parse_file(str(ROOT / "book" / "references.bib")).entries
    assert entries
    for key, entry in entries.items():
        doi, url = entry.fields.get("doi"), entry.fields.get("url")
        assert doi or url, key
        assert doi is None or re.fullmatch(r"10\.\d{4,9}/\S+", doi), key
        assert url is None or urlsplit(url).scheme == "https", key


def test_every_command_is_on_the_command_line_page() -> None:
    import typer

    from enormous.cli import app

    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    page = (ROOT / "book/reference/cli.md").read_text(encoding="utf-8")
    shown = re.findall(r"^```\{cli-help\} (\S+)", page, re.M)
    assert sorted(shown) == sorted(commands)
