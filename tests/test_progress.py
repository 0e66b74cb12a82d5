"""What people see while a command works, on a terminal and in a log; a wait here is a sleep, not a model."""

from __future__ import annotations

import io
import logging
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from benchmarks.support.watching import Watched, convnext_edge, plain, watch
from convnext_edge import display, progress
from convnext_edge.display import Lines, Step
from convnext_edge.progress import Bars, doing, note, phase, shown, standard_error, track

WORK = """
import time
from convnext_edge.cli.frame import listen
from convnext_edge.progress import doing, note, phase, shown, track
listen(verbose=False)
with shown("export"):
    with phase("loading PyTorch"):
        time.sleep(0.4)
    doing("exporting tiny at 224")
    time.sleep(0.3)
    for _ in track(range(4), "rounding", total=4):
        time.sleep(0.2)
    note("a note that stays")
    time.sleep(0.3)
print("the result")
"""


WATCHED: dict[str, tuple[bool, dict[str, str]]] = {  # whether it is a terminal, and variables
    "pipe": (False, {"FORCE_COLOR": "1"}),
    "terminal": (True, {"TERM": "xterm"}),
    "dumb terminal": (True, {"TERM": "dumb"}),
}


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Watched]:
    """Programs that show their steps as a command does, side by side: most of the time they sleep."""

    def work(terminal: bool, environment: dict[str, str]) -> Watched:
        return watch([sys.executable, "-c", WORK], terminal=terminal, cwd=folder, environment=environment)

    folder = tmp_path_factory.mktemp("watched")
    known = {name: how for name, how in WATCHED.items() if not how[0] or sys.platform != "win32"}
    with ThreadPoolExecutor() as pool:
        return dict(zip(known, pool.map(work, *zip(*known.values(), strict=True)), strict=True))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_a_terminal_shows_what_is_done_and_keeps_only_what_stays(worked: dict[str, Watched]) -> None:
    watched = worked["terminal"]
    assert watched.returncode == 0, watched.text
    shown_lines = plain(watched.text)
    assert "export: loading PyTorch" in shown_lines
    assert "export: exporting tiny at 224" in shown_lines
    assert "rounding" in shown_lines
    assert "2/4" in shown_lines
    assert "\x1b[?25l" not in watched.text, "the cursor of a process that is killed would stay hidden"
    left = [line for line in on_screen(watched.text) if line]
    assert left == ["exporting tiny at 224", "a note that stays", "the result"]


def on_screen(text: str) -> list[str]:
    """Return the lines of a terminal that knows what is written here: erasing, and moving up."""
    lines, row, column = [""], 0, 0
    for piece in display_pieces(text):
        if piece == "\r":
            column = 0
        elif piece == "\n":
            row += 1
            lines += [""] * (row == len(lines))
        elif piece.startswith("\x1b"):
            if piece.endswith("K"):
                lines[row] = ""
            if piece.endswith("A"):
                row -= int(piece[2:-1])
        else:
            lines[row] = lines[row].ljust(column)[:column] + piece + lines[row][column + 1 :]
            column += 1
    return lines


def display_pieces(text: str) -> Iterator[str]:
    """Yield characters, and control sequences whole."""
    yield from re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|[\s\S]", text)


@pytest.mark.slow
def test_a_pipe_gets_plain_lines(worked: dict[str, Watched]) -> None:
    watched = worked["pipe"]
    assert watched.text.splitlines() == [
        "export: loading PyTorch",
        "exporting tiny at 224",
        "a note that stays",
    ]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_a_terminal_that_cannot_go_back_gets_plain_lines(worked: dict[str, Watched]) -> None:
    watched = worked["dumb terminal"]
    assert "\x1b" not in watched.text
    assert watched.text.splitlines()[0] == "export: loading PyTorch"


class Clock:
    """Seconds that pass where a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


def test_a_log_names_long_steps_alone_and_says_how_far_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, stream = Clock(), io.StringIO()
    monkeypatch.setattr(display, "time", clock)
    lines = Lines("quantize", stream)
    lines.begin(first := Step("loading PyTorch"))  # the first is named at once
    lines.end(first)
    lines.begin(Step("tracing the network"))
    clock.now += 1.9
    lines.look()
    assert stream.getvalue() == "quantize: loading PyTorch\n"
    clock.now += 0.2
    lines.look()
    lines.look()
    lines.begin(rounding := Step("rounding", total=76))
    clock.now += 9.9
    rounding.done = 3
    lines.look()
    lines.look()
    clock.now += 10.1
    rounding.done = 40
    lines.look()
    lines.look()
    assert stream.getvalue().splitlines()[1:] == [
        "quantize: tracing the network",
        "quantize: rounding, 3 of 76",
        "quantize: rounding, 40 of 76, 20 s",
    ]


def test_a_log_goes_on_where_nobody_reads_it() -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    lines = Lines("export", Closed())
    lines.begin(Step("loading PyTorch"))
    lines.say("anything")


def test_a_host_is_shown_nothing_but_gets_its_notes(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress.LOGGER, "handlers", [])  # a command that ran in this process left one
    monkeypatch.setattr(progress.LOGGER, "propagate", True)
    with caplog.at_level(logging.INFO, "convnext_edge"), phase("tracing"):
        doing("exporting")
        note("a note")
        for _ in track(range(2), "rounding", total=2):
            pass
    assert [record.message for record in caplog.records] == ["exporting", "a note"]
    assert capfd.readouterr() == ("", "")


def test_a_step_ends_with_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        with shown("export"), Bars() as bars:
            bars.start("rounding", 3)
            bars.advance("rounding", 5)
            assert str(bars.shown["rounding"]) == "rounding, 3 of 3"
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        work()
    assert progress._display is None
    assert capfd.readouterr().err == "export: rounding, 0 of 3\n"


def test_of_processes_that_train_together_one_speaks(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setenv("RANK", "1")
    with shown("finetune"), phase("loading PyTorch"):
        pass
    assert capfd.readouterr().err == ""


def test_a_program_without_standard_error_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    with standard_error() as stream, shown("export"), phase("loading PyTorch"):
        assert stream is None


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_on_a_terminal_the_program_speaks_before_its_own_imports(tmp_path: Path) -> None:
    watched = watch(convnext_edge("variants"), terminal=True, cwd=tmp_path, environment={"TERM": "xterm"})
    assert watched.text.startswith("convnext-edge: starting\r")
    assert on_screen(watched.text)[0].startswith("name ")
    asked = {"TERM": "xterm", "_CONVNEXT_EDGE_COMPLETE": "bash_source"}
    completing = watch(convnext_edge(), terminal=True, cwd=tmp_path, environment=asked)
    assert "starting" not in completing.text


@pytest.mark.slow
def test_a_command_speaks_before_it_loads_pytorch(tmp_path: Path) -> None:
    """`benchmarks.measure.silence` has the seconds of all commands: here, they depend on the machine."""
    (tmp_path / "bad.pth").write_bytes(b"no weights")
    watched = watch(convnext_edge("export", "--checkpoint", "bad.pth"), terminal=False, cwd=tmp_path)
    assert watched.returncode == 1
    assert watched.text.startswith("export: loading PyTorch\n")
    assert "Error: bad.pth" in watched.text
    assert watched.first < watched.seconds / 2
