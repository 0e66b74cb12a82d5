"""What the README prints: its blocks of code, and the commands among them."""

from __future__ import annotations

import re

from support.places import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
CPP = ("cmake ", "classifier/build/")  # how the commands of the section on C++ begin


def blocks(language: str) -> list[str]:
    """Return the blocks of a language, from top to bottom."""
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands() -> list[str]:
    """Return the commands without their prompts, from top to bottom."""
    lines = "".join(blocks("console")).splitlines()
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
