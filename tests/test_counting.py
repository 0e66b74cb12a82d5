"""The plugin that counts what programs for 64-bit ARM execute under QEMU."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from support.places import ROOT

pytestmark = pytest.mark.programs("gcc", "aarch64-linux-gnu-gcc", "qemu-aarch64")
TURNS = (100, 300)
# A loop whose instructions are known: for each class, how many a turn has.
LOOP = """
#include <stdlib.h>
#include <time.h>
int main(int count, char **words) {
    static float data[64];
    struct timespec now;
    float *place = data;
    long left = atol(words[1]);
    clock_gettime(CLOCK_MONOTONIC, &now);
    __asm__ volatile(
        "1:\\n"
        "ldr q0, [%1]\\n ldp q1, q2, [%1, 16]\\n ld1 {v3.4s}, [%1]\\n"
        "str q0, [%1]\\n st1 {v1.4s}, [%1]\\n"
        "ldr x3, [%1]\\n ldrb w4, [%1]\\n ldrsw x5, [%1]\\n ldp x6, x7, [%1]\\n"
        "str x3, [%1]\\n stp x6, x7, [%1]\\n strh w4, [%1]\\n"
        "sdot v4.4s, v0.16b, v1.16b\\n udot v5.4s, v0.16b, v1.4b[2]\\n sdot v4.4s, v0.16b, v1.4b[1]\\n"
        "smull v6.8h, v0.8b, v1.8b\\n umlal2 v6.8h, v0.16b, v1.16b\\n"
        "fmla v7.4s, v0.4s, v1.4s\\n fmla v7.4s, v0.4s, v1.s[3]\\n fmadd s8, s0, s1, s2\\n"
        "fmul v9.4s, v0.4s, v1.4s\\n add v10.4s, v0.4s, v1.4s\\n"
        "subs %0, %0, 1\\n"
        "b.ne 1b\\n"
        : "+r"(left) : "r"(place)
        : "memory", "cc", "x3", "x4", "x5", "x6", "x7", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8",
          "v9", "v10");
    clock_gettime(CLOCK_MONOTONIC, &now);
    return count == 2 ? 0 : 2;
}
"""
KNOWN = {
    "dot": 3,
    "i8mm": 0,
    "widening": 2,
    "fma": 3,
    "simd": 2,
    "vector_load": 3,
    "vector_store": 2,
    "load": 4,
    "store": 3,
    "branch": 1,
    "integer": 1,
}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("loop") / "loop.c"
    source.write_text(LOOP, encoding="utf-8")
    options = ("-O1", "-march=armv8.2-a+dotprod", "-o", source.with_suffix(""))
    subprocess.run(["aarch64-linux-gnu-gcc", source, *options], check=True)
    return source.with_suffix("")


@pytest.mark.slow
def test_a_loop_is_counted_instruction_by_instruction(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks.support.counting import Emulator, Node, build_plugin, by_operator, difference

    emulator = Emulator(build_plugin(tmp_path), tmp_path)
    few, many = (emulator.count("asimddp", program, str(turns), marks=True) for turns in TURNS)
    assert difference(many.total, few.total, images=TURNS[1] - TURNS[0]) == KNOWN
    # two marks surround the loop, as a profiler would; both runs have the same calls around it
    duration = (many.nanoseconds[1] - many.nanoseconds[0]) / 1000
    found = by_operator(many, [Node("Loop", duration)], images=1)
    assert found.nodes == {"Loop": 1}
    assert found.counts["Loop"]["dot"] == 3 * TURNS[1]
