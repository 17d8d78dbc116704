"""Find Chromium, open it cut off from the network, and record what a page does.

Used by the browser tests and by `shots`. Names other than this machine's do not
resolve in the browser, so a page that needs another host fails here as it would
on a train.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, Response

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
QUIET_SECONDS = 0.1
PATIENCE_SECONDS = 15.0


@dataclass(frozen=True)
class Mode:
    """How a page is looked at: theme and window, in CSS pixels."""

    name: str
    theme: str
    width: int
    height: int


MODES = (
    Mode("light", "light", 1280, 900),
    Mode("dark", "dark", 1280, 900),
    Mode("phone", "light", 390, 844),
)


def find_chromium() -> str | None:
    """Path of the browser: $CHROMIUM, else the first of `NAMES` on the PATH."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def launch() -> Iterator[Browser]:
    """One headless browser with a fresh profile, which Playwright makes and deletes."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def context(browser: Browser, mode: Mode) -> Iterator[BrowserContext]:
    """A reader's window in one mode: theme chosen before, no animation, no cookies."""
    window = browser.new_context(
        viewport={"width": mode.width, "height": mode.height},
        color_scheme="dark" if mode.theme == "dark" else "light",
        reduced_motion="reduce",
        has_touch=mode.width < 600,
        permissions=["clipboard-read", "clipboard-write"],
    )
    window.add_init_script(
        "if (location.protocol.startsWith('http') && !localStorage.getItem('mode')) {"
        f" localStorage.setItem('mode', '{mode.theme}');"
        f" localStorage.setItem('theme', '{mode.theme}'); }}"
    )
    try:
        yield window
    finally:
        window.close()


@dataclass
class Record:
    """What went wrong while a page was open, as lines for a person."""

    console: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    running: set[Request] = field(default_factory=set)
    last_change: float = 0.0

    def clear(self) -> None:
        """Forget what was recorded, before the next page."""
        for lines in (self.console, self.failed, self.foreign, self.running):
            lines.clear()


def is_local(url: str) -> bool:
    """Whether a URL stays on this machine or in the page itself (data:, blob:)."""
    parts = urlsplit(url)
    return parts.scheme not in ("http", "https", "ws", "wss", "ftp") or (
        parts.hostname == "127.0.0.1"
    )


def watch(page: Page) -> Record:
    """Record the console errors and requests of `page` from now on."""
    record = Record()

    def started(request: Request) -> None:
        record.running.add(request)
        record.last_change = time.monotonic()
        if not is_local(request.url):
            record.foreign.append(f"requests {request.url}")

    def ended(request: Request) -> None:
        record.running.discard(request)
        record.last_change = time.monotonic()

    def failed(request: Request) -> None:
        ended(request)
        record.failed.append(f"{request.url}: {request.failure}")

    def said(message: ConsoleMessage) -> None:
        if message.type == "error":
            place = message.location.get("url", "")
            record.console.append(f"{message.text} ({place})")

    def answered(response: Response) -> None:
        if response.status >= 400:
            record.failed.append(f"{response.url}: status {response.status}")

    page.on("request", started)
    page.on("requestfinished", ended)
    page.on("requestfailed", failed)
    page.on("response", answered)
    page.on("console", said)
    page.on("pageerror", lambda error: record.console.append(f"uncaught: {error}"))
    page.on("websocket", lambda socket: record.foreign.append(f"opens a socket to {socket.url}"))
    return record


def settle(page: Page, record: Record) -> None:
    """Wait until no request has been running for a moment; a page that never rests has failed."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while record.running or time.monotonic() - record.last_change < QUIET_SECONDS:
        if time.monotonic() > deadline:
            waiting = ", ".join(sorted(request.url for request in record.running))
            record.failed.append(f"still running after {PATIENCE_SECONDS:.0f} s: {waiting}")
            return
        page.wait_for_timeout(20)
