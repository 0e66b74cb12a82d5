"""Progress bars in a notebook: below the cell that works, and gone when it is done."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

from convnext_edge.display import Display, Step

EVERY = 0.2  # seconds between two updates: each is a message to the browser


def in_notebook() -> bool:
    """Return whether this is a kernel of Jupyter's, which has no terminal."""
    module = sys.modules.get("IPython")
    return module is not None and hasattr(module.get_ipython(), "kernel")


class Cell(Display):
    """What is shown below a cell: a bar for each step that is counted."""

    def __init__(self) -> None:
        super().__init__("")
        self.handle: Any = None  # of what is shown, once something is
        self.updated = 0.0

    def say(self, text: str) -> None:
        """Write a line that stays."""
        sys.stderr.write(f"{text}\n")

    def moved(self) -> None:
        """Show how far the steps are, if the last time is long enough ago."""
        if time.monotonic() - self.updated > EVERY:
            self._update()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Show the bars, and leave nothing of them."""
        try:
            yield
        finally:
            self.steps.clear()
            if self.handle is not None:
                self._update()

    def _update(self) -> None:
        import IPython.display

        self.updated = time.monotonic()
        steps = [step for step in self.steps if step.total is not None]
        shown = {"text/html": "".join(map(bar, steps)), "text/plain": "; ".join(map(str, steps))}
        if self.handle is None:
            show: Any = IPython.display.display  # its types are incomplete
            self.handle = show(shown, raw=True, display_id=True)
        else:
            self.handle.update(shown, raw=True)


def bar(step: Step) -> str:
    """Return a counted step as HTML: its text, a bar, how many are done, and the seconds left."""
    left = f", {step.left:.0f} s left" if step.left is not None else ""
    return (
        f'<div><progress value="{step.done}" max="{step.total}" aria-label="{escape(step.text)}"></progress>'
        f" {escape(step.text)}, {step.done} of {step.total}{left}</div>"
    )
