"""How many threads the benches of embedded libraries take: the CPUs of the affinity, within the quota."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from support.control_groups import FREE, LIMITED, systems

from convnext_edge.commands.embed.cpp import SOURCES
from convnext_edge.cpu import usable_cpus

MAIN = """
#include <cstdio>
#include "cpus.hpp"
int main(int count, char** words) {
    for (int i = 1; i < count; ++i) std::printf("%d ", usable_cpus(words[i]));
}
"""


@pytest.mark.slow
@pytest.mark.programs("c++")
def test_the_cpp_bench_counts_the_cpus_that_it_may_use(tmp_path: Path) -> None:
    (tmp_path / "main.cpp").write_text(MAIN)
    sample, program = SOURCES / "sample", tmp_path / "cpus"
    build = ["c++", "-std=c++17", f"-I{sample}", tmp_path / "main.cpp", sample / "cpus.cpp", "-o", program]
    subprocess.run(build, check=True)
    done = subprocess.run([program, *systems(tmp_path)], check=True, capture_output=True, text=True)
    all_of_them = len(os.sched_getaffinity(0))
    assert list(map(int, done.stdout.split())) == [1] * len(LIMITED) + [all_of_them] * len(FREE)
    own = subprocess.run([program, "/"], check=True, capture_output=True, text=True, preexec_fn=on_one_cpu)
    assert int(own.stdout) == 1
    own = subprocess.run([program, "/"], check=True, capture_output=True, text=True)
    assert int(own.stdout) <= usable_cpus()


def on_one_cpu() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
