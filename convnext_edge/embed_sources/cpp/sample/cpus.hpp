#pragma once

#include <filesystem>

/// How many CPUs this process may use, at least 1: those of its affinity (`taskset`), but not more than the quota of
/// its control group, which limits containers. `root`: where /proc and /sys are.
int usable_cpus(const std::filesystem::path& root = "/");
