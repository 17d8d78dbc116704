"""One address, one contents list: what is written by hand agrees with the settings."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
ADDRESS = CONFIG["repository"]["url"]
NAME = ADDRESS.removeprefix("https://github.com/")


def test_readme_and_citation_name_the_repository_of_the_settings() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    assert f"mybinder.org/v2/gh/{NAME}/{CONFIG['repository']['branch']}" in readme
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["repository-code"] == ADDRESS
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["urls"]["Repository"] == ADDRESS
    for text in (readme, (ROOT / "CONTRIBUTING.md").read_text("utf-8")):
        assert set(re.findall(r"github\.com/([\w-]+/[\w-]+)", text)) <= {NAME}


def test_one_version_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    import enormous

    assert project["version"] == str(citation["version"]) == enormous.__version__
    assert f"## {project['version']}" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_files_that_the_readme_shows_or_links_exist() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", readme):
        assert target.startswith("https://") or (ROOT / target).exists(), target


def test_every_page_is_in_the_contents() -> None:
    contents = (ROOT / "_toc.yml").read_text("utf-8")
    named = set(re.findall(r"(?:file|root): (\S+)", contents))
    pages = {
        str(page.relative_to(ROOT).with_suffix(""))
        for page in (ROOT / "book").rglob("*.md")
        if "_templates" not in page.parts
    }
    assert pages == named


def test_the_lock_names_no_host_and_pins_every_package_by_hash() -> None:
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    assert "://" not in lock
    pinned = re.findall(r"^[a-z0-9._-]+(?:\[[^]]+\])?==\S+(.*)$", lock, re.M)
    assert len(pinned) > 100
    assert all(rest.rstrip().endswith("\\") for rest in pinned)  # hashes follow
    assert len(re.findall(r"^zarr==", lock, re.M)) == 1  # one zarr for every Python
