"""Pages in headless Chromium: what they need of a screen, what runs in them, what is hidden, and how they print."""

from __future__ import annotations

import html
import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
WIDTHS = (1280, 390)
PLANTED = "<script>window.top.planted = true</script><img src=x onerror='window.top.planted = true'>"
"""Told in the place of what a page shows: where it runs, the page did not escape it."""


@dataclass(frozen=True)
class Screen:
    """One page on one screen."""

    needed: int
    """Pixels from left to right that the page takes."""
    width: int
    marks: int


@dataclass(frozen=True)
class Seen:
    """The page on both screens, with its policy and without it, so that it is the escaping that holds."""

    screens: tuple[Screen, ...]
    planted: bool


def look_at(page: str, folder: Path) -> Seen:
    frames = "".join(
        f'<iframe style="width:{width}px;height:800px;border:0" srcdoc="{html.escape(source)}"></iframe>'
        for source in (page, POLICY.sub("", page))
        for width in WIDTHS
    )
    measured = """frame => { const root = frame.contentDocument.documentElement;
        return [root.scrollWidth, frame.clientWidth, frame.contentDocument.querySelectorAll('mark').length]; }"""
    screens, planted = _measure(frames, measured, folder)
    return Seen(tuple(Screen(*each) for each in screens), planted)


def hidden_articles(page: str, folder: Path) -> tuple[int, int]:
    """On the screen, and on paper."""
    on_paper = page.replace("@media print", "@media all")
    frames = "".join(f'<iframe srcdoc="{html.escape(source)}"></iframe>' for source in (page, on_paper))
    measured = """frame => [...frame.contentDocument.querySelectorAll('article')]
        .filter(each => !each.checkVisibility()).length"""
    (on_screen, printed), _ = _measure(frames, measured, folder)
    return on_screen, printed


def pages_on_paper(page: str, folder: Path) -> int:
    (folder / "page.html").write_text(page)
    paper = folder / "page.pdf"
    _chromium("--no-pdf-header-footer", f"--print-to-pdf={paper}", (folder / "page.html").as_uri())
    content = paper.read_bytes()
    assert content.startswith(b"%PDF-")
    return len(re.findall(rb"/Type\s*/Page\b", content))


def _measure(frames: str, measured: str, folder: Path) -> tuple[list[Any], bool]:
    """What is measured of each frame, and whether anything planted ran."""
    script = f"""onload = () => {{ const each = [...document.querySelectorAll('iframe')].map({measured});
        const found = JSON.stringify([each, window.planted === true]);
        document.body.textContent = 'found ' + found + ' found'; }}"""
    (folder / "frame.html").write_text(f"<!doctype html><body>{frames}<script>{script}</script>")
    seen = _chromium("--virtual-time-budget=5000", "--dump-dom", (folder / "frame.html").as_uri())
    each, planted = json.loads(seen.split("found ")[-1].split(" found")[0])
    return each, planted


def _chromium(*options: str) -> str:
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
