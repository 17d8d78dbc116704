"""What a reader does on a page works: solve an exercise, copy, search, switch the theme, take
the notebook away.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin, urlsplit

import pytest

from .chromium import MODES, Record, context, is_local, settle, watch
from .visits import book_pages

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

ROOT = Path(__file__).resolve().parents[2]
SOLUTION = "div.solution:has(.cell_output)"


@pytest.fixture(scope="module")
def chapter(html: Path) -> str:
    """A page with an exercise whose solution has code and output, so with code cells."""
    for page in book_pages(html):
        text = (html / page).read_text(encoding="utf-8")
        _, _, solution = text.partition('class="solution dropdown')
        if "cell_output" in solution:
            return page
    pytest.fail("no page of the book has an exercise with an executed solution")


@pytest.fixture
def tab(browser: Browser) -> Iterator[Page]:
    """A light desktop window; what it does is in `tab.record` of the test's own watch."""
    with context(browser, MODES[0]) as window:
        yield window.new_page()


def opened(tab: Page, address: str) -> Record:
    """Open `address` in `tab` and wait; the record goes on counting."""
    record = watch(tab)
    tab.goto(address)
    settle(tab, record)
    return record


def clean(record: Record) -> None:
    assert record.console + record.failed + record.foreign == []


def is_open(solution: Locator) -> bool:
    """Whether code and output of a solution can be seen, both."""
    return all(
        solution.locator(part).first.evaluate(
            "e => e.checkVisibility({ visibilityProperty: true, opacityProperty: true })"
            " && e.getBoundingClientRect().height > 5"
        )
        for part in (".cell_input pre", ".cell_output")
    )


def wait_until(tab: Page, solution: Locator, wanted: bool) -> None:
    """Wait out the fade of a fold."""
    for _ in range(40):
        if is_open(solution) == wanted:
            return
        tab.wait_for_timeout(50)
    pytest.fail(f"the solution did not {'open' if wanted else 'close'}")


def shows_focus(tab: Page) -> bool:
    """Whether a person can see where the keyboard is."""
    return bool(
        tab.evaluate(
            "() => { const e = document.activeElement, s = getComputedStyle(e);"
            " return e !== document.body && parseFloat(s.opacity) > 0.5"
            " && ((s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) > 0)"
            " || s.boxShadow !== 'none'); }"
        )
    )


def test_solution_is_hidden_and_opens_and_closes_by_click(
    tab: Page, site: str, chapter: str
) -> None:
    record = opened(tab, f"{site}/{chapter}")
    solution = tab.locator(SOLUTION).first
    wait_until(tab, solution, False)
    button = solution.locator("button.toggle-button").first
    assert button.get_attribute("aria-expanded") == "false"
    title = solution.locator(".admonition-title").first
    title.click(position={"x": 5, "y": 10})
    wait_until(tab, solution, True)
    assert button.get_attribute("aria-expanded") == "true"
    assert solution.locator(".cell_output").first.inner_text().strip()
    button.click()
    wait_until(tab, solution, False)
    clean(record)


def test_solution_opens_by_keyboard_and_hides_nothing_focusable(
    tab: Page, site: str, chapter: str
) -> None:
    record = opened(tab, f"{site}/{chapter}")
    solution = tab.locator(SOLUTION).first
    wait_until(tab, solution, False)
    # a link just before the fold: from there the fold is the next stop of Tab
    solution.evaluate(
        "e => { const a = document.createElement('a'); a.href = '#'; a.textContent = 'before';"
        " e.before(a); a.focus(); }"
    )
    focused = "() => document.activeElement.className"
    for _ in range(3):
        tab.keyboard.press("Tab")
        if "toggle-button" in tab.evaluate(focused):
            break
    assert "toggle-button" in tab.evaluate(focused), "Tab does not reach the fold"
    assert shows_focus(tab), "the focused fold cannot be seen to be focused"
    tab.keyboard.press("Tab")
    inside = "e => e.contains(document.activeElement)"
    assert not solution.evaluate(inside), "Tab goes into what is hidden"
    tab.keyboard.press("Shift+Tab")
    tab.keyboard.press("Enter")
    wait_until(tab, solution, True)
    tab.keyboard.press("Enter")
    wait_until(tab, solution, False)
    clean(record)


def test_link_in_a_solution_title_leads_to_the_exercise(tab: Page, site: str, chapter: str) -> None:
    record = opened(tab, f"{site}/{chapter}")
    link = tab.locator(f"{SOLUTION} .admonition-title a").first
    if link.count() == 0:
        pytest.skip("the titles of solutions carry no link")
    target = link.get_attribute("href") or ""
    link.click()
    settle(tab, record)
    assert tab.url.endswith(target)
    clean(record)


def test_copy_button_copies_the_code_of_its_cell(tab: Page, site: str, chapter: str) -> None:
    record = opened(tab, f"{site}/{chapter}")
    cell = tab.locator(".cell_input .highlight:visible").first
    cell.hover()
    cell.locator("button.copybtn").click()
    copied = tab.evaluate("navigator.clipboard.readText()")
    assert copied.strip() == cell.locator("pre").inner_text().strip()
    assert len(copied) > 10
    clean(record)


def test_copy_button_can_be_seen_when_the_keyboard_reaches_it(
    tab: Page, site: str, chapter: str
) -> None:
    opened(tab, f"{site}/{chapter}")
    tab.locator(".cell_input button.copybtn >> visible=true").first.evaluate(
        "e => { const a = document.createElement('a'); a.href = '#'; a.textContent = 'before';"
        " e.before(a); a.focus(); }"
    )
    tab.keyboard.press("Tab")
    assert "copybtn" in tab.evaluate("document.activeElement.className")
    tab.wait_for_timeout(500)  # it may fade in
    assert shows_focus(tab)


def test_search_page_finds_a_word_and_its_result_opens(tab: Page, site: str) -> None:
    record = opened(tab, f"{site}/search.html?q=amplification")
    result = tab.locator("#search-results li a").first
    result.wait_for(timeout=10_000)
    assert "amplification" in tab.locator("#search-results").inner_text().lower()
    result.click()
    tab.wait_for_selector("article h1")
    settle(tab, record)
    assert "search.html" not in tab.url
    clean(record)


def test_search_opens_from_the_keyboard_on_any_page(tab: Page, site: str, chapter: str) -> None:
    record = opened(tab, f"{site}/{chapter}")
    tab.keyboard.press("Control+k")
    tab.wait_for_selector("input[type=search]:focus")
    tab.keyboard.type("amplification")
    tab.keyboard.press("Enter")
    tab.locator("#search-results li a").first.wait_for(timeout=10_000)
    settle(tab, record)
    clean(record)


def test_theme_button_switches_and_the_choice_stays(tab: Page, site: str, chapter: str) -> None:
    record = opened(tab, f"{site}/{chapter}")
    ground = "() => getComputedStyle(document.body).backgroundColor"
    light = tab.evaluate(ground)
    button = tab.locator("button.theme-switch-button:visible").first
    for _ in range(3):  # light, dark, as the system has it
        button.click()
        if tab.evaluate("document.documentElement.dataset.theme") == "dark":
            break
    assert tab.evaluate("document.documentElement.dataset.theme") == "dark"
    dark = tab.evaluate(ground)
    assert dark != light
    tab.reload()
    settle(tab, record)
    assert tab.evaluate("document.documentElement.dataset.theme") == "dark"
    assert tab.evaluate(ground) == dark
    clean(record)


def test_menu_opens_on_a_phone_and_leads_to_a_chapter(
    browser: Browser, site: str, chapter: str
) -> None:
    phone = next(mode for mode in MODES if mode.name == "phone")
    with context(browser, phone) as window:
        tab = window.new_page()
        record = opened(tab, f"{site}/book/index.html")
        tab.locator("button.primary-toggle:visible").first.click()
        entry = tab.locator(f".bd-sidebar-primary a[href$='{Path(chapter).name}']").first
        entry.wait_for(state="visible", timeout=5_000)
        entry.click()
        tab.wait_for_selector("article h1")
        settle(tab, record)
        assert tab.url.endswith(chapter)
        clean(record)


def test_launch_and_download_lead_to_the_notebook_of_the_page(
    tab: Page, site: str, html: Path, chapter: str
) -> None:
    opened(tab, f"{site}/{chapter}")
    links = tab.evaluate(
        "[...document.querySelectorAll('.bd-header-article a[href]')].map(a => a.href)"
    )
    launches = [unquote(link) for link in links if re.search(r"mybinder|colab", link)]
    assert any("mybinder.org" in link for link in launches)
    assert any("colab" in link for link in launches)
    notebooks = set()
    for link in launches:
        named = re.search(r"notebooks/[\w./-]+\.ipynb", link)
        assert named, f"{link} does not open a notebook"
        notebooks.add(named.group())
    assert len(notebooks) == 1, f"the buttons open different notebooks: {notebooks}"
    assert (ROOT / notebooks.pop()).is_file()
    downloads = [link for link in links if is_local(link) and link.endswith(".ipynb")]
    assert downloads, f"no button downloads a notebook; the buttons lead to {links}"
    for link in downloads:
        path = unquote(urlsplit(urljoin(tab.url, link)).path).lstrip("/")
        assert (html / path).read_text(encoding="utf-8").lstrip().startswith("{")
