// What the programs have in common.
#pragma once

#include <functional>
#include <string>

/// Runs a program and returns its exit code: its own, 2 for a convnext_edge::UsageError, 1 for any other error, which
/// is shown on standard error.
int run_program(const std::function<int()>& program);

/// The value of an option, from 1. Throws convnext_edge::UsageError.
int whole_number(const std::string& option, const std::string& text);

/// The value of an option, from 0 to 1. Throws convnext_edge::UsageError.
float share(const std::string& option, const std::string& text);

/// As many threads as asked for, but not more than the process may use, which it says on standard error; 0 leaves
/// it to the runtime, which sees no quota.
int bounded_threads(int threads);
