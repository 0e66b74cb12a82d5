"""Text for people stays within 80 columns, whatever stands beside it."""

from __future__ import annotations

import shlex
from pathlib import Path

from convnext_edge.commands.text import (
    WIDTH,
    Commands,
    broken_into_lines,
    command_line,
    counted,
    lines,
    lost_or_won,
    printable_lines,
    ran_by,
    warned,
)


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
        broken = broken_into_lines(called, len("next: "))
        assert broken.endswith(" \\\n      --calib IMAGES")
        _, command, file, *options = shlex.split(broken.replace("\\\n", ""))  # as a shell joins lines
        assert (command, Path(file), options) == ("quantize", Path(name), ["--calib", "IMAGES"])
        assert not file.startswith("-")


def test_lines_of_a_long_command_fit_beside_what_stands_before_them() -> None:
    file = Path("convnext-edge-out") / ("my-model-" * 5 + "int8-onnxruntime.opt.onnx")
    called = command_line("validate", file, "--data", "IMAGES", "--workspace", "w" * 60)
    broken = broken_into_lines(called, len("next: "))
    told = f"next: {broken}".splitlines()
    assert len(told) == 4
    assert max(map(len, told)) <= max(WIDTH, len(f"      {file} \\"))  # a name is never cut
    assert told[0] == "next: convnext-edge validate \\"
    assert shlex.split(broken.replace("\\\n", "")) == shlex.split(called)


def test_commands_are_broken_behind_the_ands_and_not_in_names() -> None:
    steps = f"cd {'x' * 40} && cmake -S . -B build && cmake --build build"
    told = lines(("to build", Commands(steps))).splitlines()
    assert [line[10:] for line in told] == [
        f"cd {'x' * 40} &&",
        "cmake -S . -B build &&",
        "cmake --build build",
    ]
    named = f"cd {shlex.quote('a && b' * 20)}"
    assert lines(("to build", Commands(named))) == f"to build  {named}"


def test_what_ran_a_long_name_is_in_a_line_of_its_own() -> None:
    assert ran_by(Path("a.onnx"), "openvino") == [("candidate", "a.onnx on openvino")]
    assert ran_by(Path("a" * 70), "openvino") == [("candidate", Path("a" * 70)), ("", "on openvino")]


def test_one_thing_is_not_called_several() -> None:
    assert (counted(1, "thread"), counted(2, "thread")) == ("1 thread", "2 threads")


def test_control_characters_of_names_never_reach_the_terminal() -> None:
    assert printable_lines("a\x1b[31mb\u202ec\u2028d\udcff\r\n\tकर\u200dता") == (
        "a\\x1b[31mb\\u202ec\\u2028d\\udcff\\r\n\tकर\u200dता"
    )


def test_a_negative_loss_is_called_a_gain() -> None:
    assert lost_or_won(0.2, "points", (0.1, 0.3)) == "loses +0.20 points (95 %: +0.10 to +0.30)"
    assert lost_or_won(-2, "points", (-3, -1)) == "gains 2.00 points (a drop, 95 %: -3.00 to -1.00)"
