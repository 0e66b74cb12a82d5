"""Text for people stays within 80 columns, whatever stands beside it."""

from __future__ import annotations

import shlex
from pathlib import Path

from convnext_edge.commands.text import WIDTH, broken_before_options, command_line, lines, warned


def test_a_warning_is_broken_where_its_column_ends() -> None:
    warning = "12345 7890 " * 20
    for name in ("x", "a very long name"):
        found = lines((name, "as it is " * 20), *warned([warning, "short"])).splitlines()
        start = max(len(name), len("WARNING")) + 2
        assert found[0][start:] == "as it is " * 20
        folded = found[1:-1]
        assert all(len(line) <= WIDTH for line in folded)
        assert all(len(line) > WIDTH - 10 for line in folded[:-1])
        assert [line[:start].strip() for line in folded] == ["WARNING", *[""] * (len(folded) - 1)]
        assert " ".join(line[start:] for line in folded) == warning.strip()
        assert found[-1].split() == ["WARNING", "short"]


def test_a_next_command_is_what_a_shell_reads_whatever_files_are_called() -> None:
    for name in ("-y.onnx", "a --b 'c\" $(id).onnx", "--calib.onnx", "two\nlines.onnx"):
        called = command_line("quantize", Path(name), "--calib", "IMAGES")
        broken = broken_before_options(called)
        assert broken.endswith(" \\\n      --calib IMAGES")
        _, command, file, *options = shlex.split(broken.replace("\\\n", ""))  # as a shell joins lines
        assert (command, Path(file), options) == ("quantize", Path(name), ["--calib", "IMAGES"])
        assert not file.startswith("-")
