"""Parse the built book once, for the tests that read it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup

#: The attributes by which an element makes a browser fetch something.
FETCHING = {
    "script": ["src"],
    "img": ["src", "srcset"],
    "iframe": ["src"],
    "source": ["src", "srcset"],
    "video": ["src", "poster"],
    "audio": ["src"],
    "embed": ["src"],
    "object": ["data"],
    "link": ["href"],
    "use": ["href"],
}
#: Kinds of <link> that only state an address.
STATING = {"canonical", "next", "prev", "index", "search", "author", "copyright"}


@dataclass
class Page:
    """One page of the built book."""

    path: str
    soup: Any

    @cached_property
    def ids(self) -> set[str]:
        """All anchors."""
        return {element["id"] for element in self.soup.find_all(id=True)}

    @property
    def article(self) -> Any:
        """The text of the page, without its surroundings."""
        return self.soup.find("article") or self.soup.find("main") or self.soup.find("body")

    def fetched(self) -> list[str]:
        """Return every address that a browser fetches to show the page."""
        found = []
        for name, attributes in FETCHING.items():
            for element in self.soup.find_all(name):
                if name == "link" and STATING & set(element.get("rel", [])):
                    continue
                found += [element[key] for key in attributes if element.get(key)]
        return found

    def linked(self) -> list[str]:
        """Return every address that a reader can follow."""
        return [element["href"] for element in self.soup.find_all("a", href=True)]


def read_pages(html: Path) -> dict[str, Page]:
    """Parse all pages of a built book, copied widgets aside."""
    widgets = html / "book" / "widgets"
    return {
        path.relative_to(html).as_posix(): Page(
            path.relative_to(html).as_posix(),
            BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser"),
        )
        for path in sorted(html.rglob("*.html"))
        if widgets not in path.parents and "_static" not in path.parts
    }


def is_remote(address: str) -> bool:
    """Tell whether an address leads to another host."""
    parts = urlsplit(address)
    return bool(parts.netloc) or parts.scheme in ("http", "https", "mailto")


def target(page: str, address: str) -> tuple[str, str]:
    """Resolve a link from a page: the file below the book's folder, and the anchor."""
    parts = urlsplit(address)
    path = unquote(parts.path)
    if not path:
        return page, unquote(parts.fragment)
    if path.startswith("/"):
        found = Path(path.lstrip("/"))
    else:
        stack: list[str] = list(Path(page).parent.parts)
        for part in Path(path).parts:
            if part == "..":
                stack.pop()  # raises where a link climbs out of the book
            else:
                stack.append(part)
        found = Path(*stack)
    return found.as_posix(), unquote(parts.fragment)
