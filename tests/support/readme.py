"""What the README and the pages of `docs` print: their blocks of code, and the commands among them."""

from __future__ import annotations

import re

from support.places import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
CPP = ("(cd classifier ", "classifier/build/")  # how the commands of the section on C++ begin
NAMES = tuple(re.findall(r"^\| \[.*?\]\(docs/(\w[\w-]*\.md)\) \|", README, flags=re.MULTILINE))
"""The pages, in the order of the README's index, which is that of their commands."""

PAGES = {"README.md": README} | {name: (ROOT / "docs" / name).read_text(encoding="utf-8") for name in NAMES}
"""All pages by name; a command may need what one of an earlier page made."""


def blocks(language: str, page: str = README) -> list[str]:
    """Return the blocks of a language, from top to bottom."""
    return re.findall(rf"```{language}\n(.*?)```", page, flags=re.DOTALL)


def commands(page: str = README) -> list[str]:
    """Return the commands without their prompts, from top to bottom."""
    lines = "".join(blocks("console", page)).splitlines()
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
