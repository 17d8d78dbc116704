"""The built pages, as files: complete, self-contained, and readable by everyone.

What only a browser can tell stands in ``tests/browser``.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from pages import Page, is_remote, target

Pages = dict[str, Page]
REMOTE_CSS = re.compile(r"""(?:url\(\s*["']?|@import\s+["'])(?:https?:)?//""")
REMOTE_SCRIPT = re.compile(r"cdn\.|unpkg|jsdelivr|mathjax|require\.js", re.I)
TEMPLATES = {"index.html"}  # the redirect


def test_the_book_has_its_pages(pages: Pages) -> None:
    for path in ("index", "book/index", "404", "search", "genindex", "book/glossary"):
        assert f"{path}.html" in pages
    for name in ("cli", "api", "status", "givens", "bibliography"):
        assert f"book/reference/{name}.html" in pages


def test_every_page_has_a_language_one_h1_and_a_title_of_its_own(pages: Pages) -> None:
    for path, page in pages.items():
        assert page.soup.html.get("lang") == "en", path
        assert len(page.soup.find_all("h1")) == 1, path
        assert page.soup.h1.get_text(strip=True), path
    titles = Counter(
        page.soup.title.get_text(strip=True)
        for path, page in pages.items()
        if path not in TEMPLATES
    )
    assert [title for title, count in titles.items() if count > 1 or not title] == []


def test_headings_go_down_one_level_at_a_time(pages: Pages) -> None:
    for path, page in pages.items():
        level = 0
        for heading in page.article.find_all(re.compile(r"^h[1-6]$")):
            assert int(heading.name[1]) <= level + 1, (path, heading.get_text())
            level = int(heading.name[1])


def test_every_figure_says_in_words_what_it_shows(pages: Pages) -> None:
    shown = 0
    for path, page in pages.items():
        for image in page.soup.find_all("img"):
            assert image.has_attr("alt"), (path, image)  # empty only around the text
        for image in page.article.find_all("img"):
            alt = image["alt"].strip()
            assert len(alt) >= 20, (path, image["src"], alt)
            assert not re.search(r"\.(png|svg|jpe?g)$", alt), (path, alt)
            shown += 1
        for frame in page.soup.find_all("iframe"):
            assert frame.get("title", "").strip(), (path, frame)
    assert shown


def test_no_page_fetches_anything_from_another_host(pages: Pages, html: Path) -> None:
    for path, page in pages.items():
        assert [address for address in page.fetched() if is_remote(address)] == [], path
        for script in page.soup.find_all("script"):
            assert not REMOTE_SCRIPT.search(script.get("src", "") + script.get_text()), path
        for style in [*page.soup.find_all("style"), *page.soup.find_all(style=True)]:
            assert not REMOTE_CSS.search(style.get_text() + style.get("style", "")), path
    sheets = list((html / "_static").rglob("*.css"))
    assert sheets
    for sheet in sheets:
        assert not REMOTE_CSS.search(sheet.read_text(encoding="utf-8")), sheet


def test_every_link_within_the_book_leads_somewhere(pages: Pages, html: Path) -> None:
    broken = []
    for path, page in pages.items():
        for address in [*page.linked(), *page.fetched()]:
            if is_remote(address) or address.startswith(("data:", "javascript:")):
                continue
            file, anchor = target(path, address)
            if file in pages and anchor:
                if anchor not in pages[file].ids:
                    broken.append((path, address))
            elif not (html / file).is_file():
                broken.append((path, address))
    assert broken == []


def test_no_anchor_is_used_twice_on_a_page(pages: Pages) -> None:
    for path, page in pages.items():
        anchors = Counter(element["id"] for element in page.article.find_all(id=True))
        assert [anchor for anchor, count in anchors.items() if count > 1] == [], path


def test_formulas_are_mathml_with_their_source(pages: Pages) -> None:
    formulas = 0
    for path, page in pages.items():
        for formula in page.article.find_all("math"):
            assert formula.get("alttext"), path
            formulas += 1
        prose = " ".join(
            text
            for text in page.article.strings
            if not {"pre", "code", "math", "script"} & {parent.name for parent in text.parents}
        )
        left = re.findall(r"\\[(\[a-z]+|\$\$", prose)
        assert left == [], (path, left)
    assert formulas


def test_every_page_has_one_search_field_and_a_theme_switch(pages: Pages) -> None:
    for path, page in pages.items():
        if path in TEMPLATES:
            continue
        fields = page.soup.select(".search-button-field")
        assert len(fields) == 1, path
        assert page.soup.select(".theme-switch-button"), path


def test_pages_describe_themselves_when_shared(pages: Pages) -> None:
    for path, page in pages.items():
        if not path.startswith("book/"):
            continue
        shared = {meta["property"] for meta in page.soup.find_all("meta", property=True)}
        assert {"og:title", "og:type", "og:description"} <= shared, path
        assert page.soup.find("meta", attrs={"name": "description"}), path
