"""The inspection itself: each kind of problem is seen on a page made to have it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from enormous.view.server import serve

from .visits import Visit, visit_all

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"
    "AAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
WIDE = "<table style='width: 3000px'><tr><td>wide</td></tr></table>"
GOOD = f"""
<p>one</p><p>two</p><p>three</p><pre>four</pre><p>five <a href="https://example.org/">a link</a></p>
<img src="{PIXEL}" alt="a red point" loading="lazy">
<div style="overflow-x: auto">{WIDE}</div>
<p style="color: rgb(0 0 0 / 80%)">still dark</p>
<link rel="canonical" href="https://example.org/">
<script>console.log("fine"); console.warn("fine")</script>
"""
BAD = {
    "console": ["<script>console.error('oh')</script>", "<script>null.x</script>"],
    "failed": ["<script src='missing.js'></script>", "<script>fetch('missing.json')</script>"],
    "foreign": [
        "<link rel='dns-prefetch' href='https://cdn.example.org/'>",
        "<link rel='preconnect' href='https://cdn.example.org/'>",
        "<script src='https://cdn.example.org/a.js'></script>",
        "<style>@import url(https://cdn.example.org/a.css)</style>",
        "<iframe loading='lazy' src='https://cdn.example.org/' style='margin-top: 9e4px'></iframe>",
        "<script>new WebSocket('ws://example.org/')</script>",
    ],
    "images": ["<img alt='gone' src='missing.png'>"],
    "alt": [
        f"<img src='{PIXEL}'>",
        f"<img alt='' src='{PIXEL}'>",
        f"<img alt='f.png' src='{PIXEL}'>",
    ],
    "contrast": [
        "<p style='color: #888'>faint</p>",
        "<details><summary>more</summary><p style='color: #888'>faint</p></details>",
        "<div style='opacity: 0.4'><p>faint</p></div>",
        "<div style='background: black'><p>black on black</p></div>",
        "<p style='color: oklch(0.7 0 0)'>faint</p>",
        "<h1 style='color: #999'>large and faint</h1>",
    ],
    "overflow": [
        WIDE,
        "<pre>" + "wide " * 300 + "</pre>",
        f"<div style='overflow: hidden'>{WIDE}</div>",
    ],
}


def page(body: str) -> str:
    return (
        "<!doctype html><html data-theme='light'><meta charset='utf-8'><title>t</title>"
        f"<link rel='icon' href='data:,'><body><article>{GOOD}{body}</article></body></html>"
    )


@pytest.fixture(scope="module")
def found(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Visit]]:
    folder = tmp_path_factory.mktemp("pages")
    names = {"good.html": ""}
    names |= {
        f"{kind}-{i}.html": body for kind, bodies in BAD.items() for i, body in enumerate(bodies)
    }
    for name, body in names.items():
        (folder / name).write_text(page(body), encoding="utf-8")
    with serve(folder) as base:
        visits = visit_all(browser, base, list(names))
    return {name: [v for v in visits if v.page == name] for name in names}


def test_good_page_has_no_problem(found: dict[str, list[Visit]]) -> None:
    assert [v.problems for v in found["good.html"] if any(v.problems.values())] == []


@pytest.mark.parametrize("name", [f"{kind}-{i}" for kind, b in BAD.items() for i in range(len(b))])
def test_problem_is_seen_in_every_mode(name: str, found: dict[str, list[Visit]]) -> None:
    kind = name.split("-")[0]
    assert [v.mode.name for v in found[f"{name}.html"] if not v.problems[kind]] == []
