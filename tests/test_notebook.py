"""What a notebook shows of the work of a cell, by a kernel of Jupyter's as a notebook starts one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager

from convnext_edge.display import Step
from convnext_edge.notebook import bar, in_notebook

WORK = """
import time
from convnext_edge.progress import track
for _ in track(range(3), "rounding <layers>", total=3):
    time.sleep(0.25)
"""


def run_cell(code: str, folder: Path) -> list[dict[str, Any]]:
    """Run a cell in a new kernel; return the messages that a notebook would show."""
    manager = KernelManager()
    manager._kernel_spec = KernelSpec(
        argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"], language="python"
    )
    manager.start_kernel(cwd=str(folder))
    client = manager.client()
    client.start_channels()
    shown: list[dict[str, Any]] = []
    try:
        client.wait_for_ready(timeout=120)
        client.execute_interactive(code, output_hook=shown.append, timeout=120)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    return shown


@pytest.mark.slow(seconds=5)
def test_a_cell_shows_how_far_its_work_is_and_nothing_once_it_is_done(tmp_path: Path) -> None:
    shown = [message for message in run_cell(WORK, tmp_path) if message["msg_type"] != "status"]
    kinds = [message["msg_type"] for message in shown]
    assert kinds[:2] == ["execute_input", "display_data"]
    assert set(kinds[2:]) == {"update_display_data"}
    places = {message["content"]["transient"]["display_id"] for message in shown[1:]}
    assert len(places) == 1, "all in one place"
    texts = [message["content"]["data"]["text/plain"] for message in shown[1:]]
    assert texts[0] == "rounding <layers>, 1 of 3"
    assert texts[-2:] == ["rounding <layers>, 3 of 3", ""]
    pages = [message["content"]["data"]["text/html"] for message in shown[1:]]
    assert '<progress value="1" max="3"' in pages[0]
    assert "rounding &lt;layers&gt;, 1 of 3" in pages[0]
    assert pages[-1] == ""


def test_a_program_is_no_notebook_even_where_ipython_is_imported() -> None:
    import IPython

    assert IPython.get_ipython() is None
    assert not in_notebook()


def test_a_bar_tells_the_time_that_is_left() -> None:
    step = Step("calibrating", total=4)
    assert "calibrating, 0 of 4</div>" in bar(step)
    step.begun -= 30
    step.done = 3
    assert "calibrating, 3 of 4, 10 s left</div>" in bar(step)
