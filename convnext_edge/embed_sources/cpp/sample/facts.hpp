#pragma once

#include <string>
#include <utility>
#include <vector>

/// Names of a JSON object with their values, which are JSON already.
using Fields = std::vector<std::pair<std::string, std::string>>;

std::string json(const Fields& fields);
std::string json(const std::string& text);  // in quotes
std::string json(double value);             // "null" for what is no number

/// What does not change while a program runs: `machine` and `kernel` as uname says them, `libc` ("glibc 2.36", empty
/// where it is another), `cpuinfo` (the beginning of /proc/cpuinfo, empty where there is none).
Fields lasting_facts();

/// What changes: `governor` (empty where the system does not tell), `clock_mhz` and `max_clock_mhz` of the fastest
/// CPU, `temperature_c` of the hottest zone, `peak_rss_bytes` of this process (null where the system does not tell).
Fields passing_facts();

/// Seconds of work of all CPUs since the system started; negative where the system does not tell.
double busy_seconds();
