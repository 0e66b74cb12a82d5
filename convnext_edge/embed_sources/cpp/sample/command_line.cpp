#include "command_line.hpp"

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <locale>
#include <sstream>
#include <thread>

#include "convnext_edge.hpp"
#include "cpus.hpp"

namespace {

/// ONNX Runtime's library of PyPI reports its use to its makers and writes a file for it, but not on a CI server.
void report_no_use() {
#ifdef _WIN32
    if (std::getenv("CI") == nullptr) _putenv_s("CI", "true");
#else
    setenv("CI", "true", 0);
#endif
}

}  // namespace

int run_program(const std::function<int()>& program) {
    report_no_use();
    try {
        return program();
    } catch (const convnext_edge::UsageError& error) {
        std::cerr << "Error: " << error.what() << '\n';
        return 2;
    } catch (const std::exception& error) {
        std::cerr << "Error: " << error.what() << '\n';
        return 1;
    }
}

int whole_number(const std::string& option, const std::string& text) {
    try {
        std::size_t used = 0;
        const int value = std::stoi(text, &used);
        if (used == text.size() && value >= 1) return value;
    } catch (const std::exception&) {  // falls through to the one message for all that is wrong
    }
    throw convnext_edge::UsageError(option + " " + text + " is no whole number from 1 to 2147483647");
}

float share(const std::string& option, const std::string& text) {
    std::istringstream stream(text);
    stream.imbue(std::locale::classic());
    float value = 0;
    if (stream >> value && stream.peek() == std::istringstream::traits_type::eof() && value >= 0 && value <= 1) return value;
    throw convnext_edge::UsageError(option + " " + text + " is no number from 0 to 1");
}

int bounded_threads(int threads) {
    const int usable = usable_cpus();
    if (threads > usable) {
        std::cerr << "--threads " << threads << " is more than the " << usable << " that this process may use: taking "
                  << usable << '\n';
    }
    const bool all = usable >= static_cast<int>(std::thread::hardware_concurrency());
    return threads > 0 ? std::min(threads, usable) : all ? 0 : usable;
}
