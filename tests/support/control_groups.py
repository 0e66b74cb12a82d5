"""Control groups that limit a process to some of the CPUs, as the folders /proc and /sys show them."""

from __future__ import annotations

from pathlib import Path

HALF, NONE = "50000 100000\n", "max 100000\n"
# The line of /proc/self/cgroup, and files below /sys/fs/cgroup
LIMITED = {
    "version 2": ("0::/pod/box", {"pod/box/cpu.max": HALF}),
    "of the group above": ("0::/pod/box", {"pod/cpu.max": HALF, "pod/box/cpu.max": NONE}),
    "of the container": ("0::/", {"cpu.max": HALF}),
    "version 1": ("4:cpu,cpuacct:/pod", {"cpu,cpuacct/pod/cpu.cfs_quota_us": "1000\n"}
                  | {"cpu,cpuacct/pod/cpu.cfs_period_us": "1000\n"}),
}  # fmt: skip
FREE = {
    "no limit": ("0::/pod", {"pod/cpu.max": NONE}),
    "no limit in version 1": (
        "4:cpu:/",
        {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"},
    ),
    "other controllers": ("4:memory:/", {"memory/cpu.max": HALF}),
    "damaged": ("4:cpu", {"cpu.max": "many\n"}),
    "large": ("0::/", {"cpu.max": "99999999 1\n"}),
}


def systems(place: Path) -> list[Path]:
    """A folder with a /proc and a /sys for each of the cases."""
    for name, (group, files) in {**LIMITED, **FREE}.items():
        (place / name / "proc" / "self").mkdir(parents=True)
        (place / name / "proc" / "self" / "cgroup").write_text(f"9:name=systemd:/x\n{group}\n")
        for file, content in files.items():
            path = place / name / "sys" / "fs" / "cgroup" / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
    return [place / name for name in (*LIMITED, *FREE)]
