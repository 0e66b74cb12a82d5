"""What a page is like in a headless Chromium: pictures of it, what it complains of, and what is cut off."""

from __future__ import annotations

import json
import re
import subprocess
from html import escape
from pathlib import Path
from typing import Any

from support.needs import program

# Of elements with a box: those that reach beyond the page, and those whose content is wider than they are.
MEASURE = """
const found = [];
for (const frame of document.querySelectorAll("iframe")) {
  const page = frame.contentDocument, width = page.documentElement.clientWidth;
  for (const part of page.querySelectorAll("details")) part.open = true;
  const told = (part) => `${part.tagName} ${part.getAttribute("class") || ""}: ${part.textContent.trim().slice(0, 60)}`;
  const seen = [...page.body.querySelectorAll("*:not(title)")].filter((part) => part.getClientRects().length);
  const outside = seen.filter((part) => {
    const box = part.getBoundingClientRect();
    return box.right > width + 0.5 || box.left < -0.5;
  });
  const cut = seen.filter((part) => {
    const boxed = part instanceof frame.contentWindow.HTMLElement && getComputedStyle(part).display !== "inline";
    return boxed && part.scrollWidth > part.clientWidth + 1;
  });
  const scrollWidth = page.documentElement.scrollWidth;
  found.push({ width, scrollWidth, outside: outside.map(told), cut: cut.map(told), text: page.body.innerText });
}
document.body.textContent = JSON.stringify(found);
"""  # noqa: E501  JavaScript


def measure(page: Path, scratch: Path, *widths: int) -> list[dict[str, Any]]:
    """What is in a page of each width (pixels), with all details open, and what of it is cut off."""
    frames = "".join(
        f'<iframe src="{escape(page.as_uri())}" style="border:0;height:2000px;width:{width}px"></iframe>'
        for width in widths
    )
    wrapper = scratch / "wrapper.html"
    script = f'<script>addEventListener("load", () => {{ {MEASURE} }})</script>'
    wrapper.write_text(f'<!doctype html><meta charset="utf-8"><body>{frames}{script}', encoding="utf-8")
    done = run("--allow-file-access-from-files", "--dump-dom", wrapper.as_uri())
    body = re.search(r"<body>(\[.*\])</body>", done.stdout, re.DOTALL)
    assert body, done.stdout[:2000] + done.stderr[-2000:]
    found: list[dict[str, Any]] = json.loads(unescape(body[1]))
    assert [one["width"] for one in found] == list(widths)
    return found


def picture(page: Path, file: Path, width: int, height: int, *, dark: bool) -> list[str]:
    """Keep a picture of a page, and return what it wrote to the console."""
    file.parent.mkdir(parents=True, exist_ok=True)
    done = run(
        f"--window-size={width},{height}",
        f"--blink-settings=preferredColorScheme={0 if dark else 1}",
        f"--screenshot={file}",
        page.as_uri(),
    )
    assert file.is_file(), done.stderr[-2000:]
    return [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr")
    return subprocess.run(
        [program("chromium", "chromium-browser"), *options, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )


def unescape(text: str) -> str:
    """Return a text as it was before it became HTML."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&nbsp;", "\u00a0").replace("&amp;", "&")
