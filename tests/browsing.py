"""A browser that visits a dashboard as a person does, and hears what goes wrong."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from dashboard_process import Dashboard

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDE, NARROW = 1400, 420
"""Pixels of a desktop's window and of a telephone's."""

# What a person waits for: no script runs, nothing turns or is greyed out, every chart is drawn.
_QUIET = """() => {
  const app = document.querySelector('[data-testid=stApp]');
  if (!app || app.dataset.testScriptState !== 'notRunning') return false;
  if (!document.querySelector('h1')) return false;
  const waiting = '[data-testid=stSpinner], [data-testid=stSkeleton], [data-stale=true]';
  if (document.querySelector(waiting)) return false;
  const charts = [...document.querySelectorAll('[data-testid=stVegaLiteChart]')];
  return charts.every(chart => {
    if (chart.closest('details:not([open])')) return true;
    const picture = chart.querySelector('canvas, svg');
    return picture && picture.getBoundingClientRect().width > 0;
  });
}"""
# Streamlit's client asks below the page's own name first where the server is mounted.
_MOUNT = re.compile(r"/[\w-]+/_stcore/(health|host-config)$")
_HEIGHT = """() => Math.max(...[...document.querySelectorAll(
  '[data-testid=stMain], [data-testid=stMainBlockContainer]')].map(part => part.scrollHeight))"""
_OVERFLOW = """() => Math.max(...['stMain', 'stMainBlockContainer'].map(name => {
  const part = document.querySelector(`[data-testid=${name}]`);
  return part.scrollWidth - part.clientWidth;
}), document.documentElement.scrollWidth - window.innerWidth)"""


def find_browser() -> str:
    """The path of Chromium; skips the test where there is none, or no playwright to drive it."""
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    for name in BROWSERS:
        found = shutil.which(name)
        if found is not None:
            return found
    pytest.skip(f"No browser is installed: expected one of {', '.join(BROWSERS)}.")


@contextmanager
def browser() -> Iterator[Any]:
    """Chromium, without a window."""
    path = find_browser()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # as root, in a container, its sandbox cannot be set up
        found = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield found
        finally:
            found.close()


def visit(browser: Any, server: Dashboard, *, width: int = WIDE, scheme: str = "light") -> Visit:
    """A new tab, as of a person who was never here."""
    context = browser.new_context(
        color_scheme=scheme, viewport={"width": width, "height": 1000}, accept_downloads=True
    )
    context.set_default_timeout(30_000)
    return Visit(context.new_page(), server)


class Talk:
    """Whether the server has answered what a tab last asked for.

    A script that has not begun looks like one that has ended; what the two tell each other tells
    them apart.
    """

    def __init__(self, page: Any) -> None:
        self._asked = self._begun = False
        page.on("websocket", self._listen)

    def is_over(self) -> bool:
        """Whether nothing is asked for that has not been drawn to its end."""
        return not (self._asked or self._begun)

    def _listen(self, socket: Any) -> None:
        self._asked = self._begun = False  # a new page asks anew
        socket.on("framesent", self._ask)
        socket.on("framereceived", self._hear)

    def _ask(self, frame: bytes | str) -> None:
        from streamlit.proto.BackMsg_pb2 import BackMsg

        if isinstance(frame, bytes) and BackMsg.FromString(frame).HasField("rerun_script"):
            self._asked = True

    def _hear(self, frame: bytes | str) -> None:
        from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

        message = ForwardMsg.FromString(frame) if isinstance(frame, bytes) else ForwardMsg()
        if message.HasField("new_session"):
            self._asked, self._begun = False, True
        elif message.HasField("script_finished"):
            self._begun = message.script_finished == ForwardMsg.FINISHED_EARLY_FOR_RERUN


@dataclass
class Visit:
    """One tab of a browser, and what went wrong in it."""

    page: Any
    server: Dashboard
    problems: list[str] = field(default_factory=list)
    outside: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.talk = Talk(self.page)
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        self.page.on("request", self._watch)
        self.page.on("requestfailed", self._failed)
        self.page.on("response", self._answered)

    def open(self, path: str = "/", timeout: float = 60.0) -> float:
        """Go to an address of the server; the seconds until its page stands."""
        begun = time.perf_counter()
        self.page.goto(self.server.address + path)
        self.settle(timeout)
        return time.perf_counter() - begun

    def follow(self, link: str) -> None:
        """Go to a page by its name in the navigation."""
        self.page.get_by_test_id("stSidebarNav").get_by_role("link", name=link, exact=True).click()
        self.page.get_by_role("heading", name=link, level=1, exact=True).wait_for(timeout=30_000)
        self.settle()

    def settle(self, timeout: float = 60.0) -> None:
        """Wait until nothing runs, turns or is undrawn, and it stays so for a moment."""
        deadline, quiet = time.monotonic() + timeout, 0
        while quiet < 3:
            assert time.monotonic() < deadline, f"not settled: {self.page.url}\n{self.text()}"
            self.page.wait_for_timeout(60)
            is_quiet = self.talk.is_over() and self.page.evaluate(_QUIET)
            quiet = quiet + 1 if is_quiet else 0

    def text(self) -> str:
        """What the page says."""
        return str(self.page.get_by_test_id("stMain").inner_text())

    def command(self) -> str:
        """The command line that the page offers to copy, in one line."""
        text = str(self.page.get_by_test_id("stCode").first.inner_text())
        return " ".join(text.replace("\\", " ").split())

    def wait_for(self, text: str | re.Pattern[str], timeout: float = 120.0) -> None:
        """Wait until the page says something."""
        self.page.get_by_text(text).first.wait_for(timeout=timeout * 1000)

    def choose(self, label: str, option: str) -> None:
        """Choose in a box with a list, by the first words of an option."""
        box = self.page.get_by_role("combobox", name=label, exact=False).first
        box.click()
        box.fill(option)
        names = self.page.get_by_role("option")
        names.filter(has_text=option).first.click()
        self.settle()

    def press(self, button: str) -> None:
        """Press a button, or a part of a control that looks like several."""
        self.page.get_by_role("button", name=button, exact=True).first.click()
        self.settle()

    def unfold(self, number: int = 0) -> None:
        """Open one of the page's "More options"."""
        self.page.get_by_text("More options").nth(number).click()
        self.settle()

    def pick(self, part: str) -> None:
        """Press one part of a segmented control."""
        self.page.get_by_role("radio", name=part, exact=True).first.click()
        self.settle()

    def tick(self, label: str) -> None:
        """Press a tick box or a switch."""
        self.page.get_by_text(label, exact=True).first.click()
        self.settle()

    def type(self, label: str, value: str) -> None:
        """Type into a field."""
        box = self.page.get_by_label(label, exact=True).first
        box.fill(value)
        box.press("Enter")
        self.settle()

    def without_none(self, option: str, value: str) -> None:
        """Give an option that is none by default a value."""
        self.tick(f"{option}: none")
        self.type(option, value)

    def slide(self, label: str, key: str = "ArrowRight") -> None:
        """Move a slider by one step, and leave at once."""
        slider = self.page.get_by_test_id("stSlider").filter(has_text=label).get_by_role("slider")
        slider.first.scroll_into_view_if_needed()
        slider.first.focus()
        self.page.keyboard.press(key)

    def wait_for_charts(self, least: int) -> None:
        """Wait until so many charts have marks; one that stays empty fails the test."""
        drawn = self.page.get_by_test_id("stVegaLiteChart").locator("canvas, svg")
        self.seconds_until(lambda: drawn.count() >= least)
        self.settle()

    def pictures(self) -> list[str]:
        """What the images and the figures of the page show, to be told from others."""
        images = self.page.locator("[data-testid=stImage] img").all()
        figures = self.page.get_by_test_id("stMetricValue").all_inner_texts()
        return [str(image.get_attribute("src")) for image in images] + figures

    def seconds_until(self, changed: Callable[[], bool], most: float = 30.0) -> float:
        """How long it takes until something is so."""
        begun = time.perf_counter()
        while not changed():
            assert time.perf_counter() - begun < most, self.text()
            self.page.wait_for_timeout(10)
        return time.perf_counter() - begun

    def picture(self, path: Path, width: int) -> None:
        """Take a picture of all that a person would scroll through."""
        height = min(int(self.page.evaluate(_HEIGHT)) + 40, 4000)
        self.page.set_viewport_size({"width": width, "height": max(height, 700)})
        self.page.wait_for_timeout(400)
        self.settle()
        self.page.screenshot(path=path)

    def figure(self, path: Path, height: int, skip: int = 56) -> None:
        """Take a picture of the upper part of the page, without its empty header."""
        self.page.set_viewport_size({"width": WIDE, "height": height + skip})
        self.page.mouse.move(0, 0)  # so that nothing shows what it shows under a pointer
        self.page.wait_for_timeout(500)
        clip = {"x": 0, "y": skip, "width": WIDE, "height": height}
        self.page.screenshot(path=path, clip=clip)

    def overflow(self) -> int:
        """By how many pixels the page is wider than its window."""
        return int(self.page.evaluate(_OVERFLOW))

    def close(self) -> None:
        self.page.context.close()

    def _hear(self, message: Any) -> None:
        where = message.location.get("url", "")
        if message.type in ("error", "warning") and not _MOUNT.search(urlsplit(where).path):
            self.problems.append(f"{message.type}: {message.text} ({where})")

    def _watch(self, request: Any) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob") and parts.netloc != f"localhost:{self.server.port}":
            self.outside.add(request.url)

    def _failed(self, request: Any) -> None:
        # what is no longer wanted when a page is left is no failure
        if request.failure != "net::ERR_ABORTED":
            self.problems.append(f"failed: {request.url}: {request.failure}")

    def _answered(self, response: Any) -> None:
        if response.status >= 400 and not _MOUNT.search(urlsplit(response.url).path):
            self.problems.append(f"{response.status}: {response.url}")
