"""What a signal does to the process: outside of the work it ends it at once, inside the work is undone."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

SCRIPT = """
import os, signal, sys
from convnext_edge.cli import signals

signals.listen()
if "inside" in sys.argv:
    try:
        with signals.undoing():
            os.kill(os.getpid(), signal.SIGTERM)
    except KeyboardInterrupt:
        signals.end()
os.kill(os.getpid(), signal.SIGTERM)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no signals")
@pytest.mark.parametrize(
    ("where", "code", "said"),
    [("inside", 128 + signal.SIGTERM, "Stopped by SIGTERM.\n"), ("before", -signal.SIGTERM, "")],
)
def test_a_signal_before_the_work_ends_the_process_and_one_inside_says_so(
    where: str, code: int, said: str
) -> None:
    """Click would say "Aborted!" and exit with 1, as for a mistake of the user."""
    done = subprocess.run([sys.executable, "-c", SCRIPT, where], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (code, said)
