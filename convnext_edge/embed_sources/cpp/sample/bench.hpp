#pragma once

#include <string>

#include "convnext_edge.hpp"

struct BenchOptions {
    std::string model;  // folder
    int threads = 0;    // 0: all cores
    int runs = 50;      // timed calls
};

/// Times loading, the first answer, single calls of the engine, and whole answers from `image`. Returns the JSON
/// object that `convnext-edge benchmark --json` prints (reference_ms and what follows from it are null), with
/// `load_ms`, `first_answer_ms` and `end_to_end_ms` beside it.
std::string bench(const convnext_edge::Image& image, const BenchOptions& options);
