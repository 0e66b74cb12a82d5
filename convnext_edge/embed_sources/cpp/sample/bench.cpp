#include "bench.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <sstream>
#include <vector>

#include "cpus.hpp"
#include "json.hpp"

namespace {

using Clock = std::chrono::steady_clock;

constexpr int kWarmUp = 3;

double since(Clock::time_point started) {
    return std::chrono::duration<double, std::milli>(Clock::now() - started).count();
}

template <typename Call>
std::vector<double> time_calls(int runs, Call call) {
    std::vector<double> times;
    for (int turn = -kWarmUp; turn < runs; ++turn) {
        const auto started = Clock::now();
        call();
        if (turn >= 0) times.push_back(since(started));
    }
    std::sort(times.begin(), times.end());
    return times;
}

/// Linear between the neighbours, as NumPy does it. `sorted`: milliseconds, at least one.
double percentile(const std::vector<double>& sorted, double percent) {
    const double position = percent / 100 * static_cast<double>(sorted.size() - 1);
    const auto below = static_cast<std::size_t>(position);
    const std::size_t above = std::min(below + 1, sorted.size() - 1);
    return sorted[below] + (position - std::floor(position)) * (sorted[above] - sorted[below]);
}

std::string rounded(double value) { return number(std::round(value * 1e4) / 1e4); }

std::string percentiles(const std::vector<double>& times) {
    return "{\"p50\": " + rounded(percentile(times, 50)) + ", \"p90\": " + rounded(percentile(times, 90)) +
           ", \"p99\": " + rounded(percentile(times, 99)) + ", \"min\": " + rounded(times.front()) + "}";
}

/// What follows the colon of the first line of a Linux file that begins with one of `keys`; empty without one.
std::string line_of(const char* file, const std::vector<std::string>& keys) {
    std::ifstream stream(file);
    for (std::string line; std::getline(stream, line);) {
        for (const std::string& key : keys) {
            const auto colon = line.find(':');
            if (line.compare(0, key.size(), key) != 0 || colon == std::string::npos) continue;
            const auto start = line.find_first_not_of(" \t", colon + 1);
            return start == std::string::npos ? "" : line.substr(start);
        }
    }
    return "";
}

/// Those of the CPU's instructions that decide how INT8 runs, as a JSON list.
std::string instructions() {
    std::istringstream flags(line_of("/proc/cpuinfo", {"flags", "Features"}));
    const std::vector<std::string> known = {"sse4_1",      "avx",         "avx2",     "fma",  "avx512f",
                                            "avx512_vnni", "avx_vnni",    "avx512_bf16", "amx_int8", "neon",
                                            "asimd",       "asimddp",     "i8mm",     "sve"};
    std::vector<std::string> words;
    for (std::string word; flags >> word;) words.push_back(word);
    std::vector<std::string> found;
    for (const std::string& name : known) {
        if (std::find(words.begin(), words.end(), name) != words.end()) found.push_back(quoted(name));
    }
    return list(found);
}

std::string peak_rss() {
    std::istringstream text(line_of("/proc/self/status", {"VmHWM"}));
    long long kibibytes = 0;
    return text >> kibibytes ? std::to_string(1024 * kibibytes) : "null";
}

// Why times are not to be relied on; empty where they are, as on a quiet machine.
std::string doubt(const std::vector<double>& times) {
    const double ratio = percentile(times, 50) / percentile(times, 0);
    return ratio > 2 ? "a median is " + rounded(ratio) + " times the least time" : "";
}

}  // namespace

std::string bench(const convnext_edge::Image& image, const BenchOptions& options) {
    const int threads = options.threads > 0 ? options.threads : usable_cpus();
    auto started = Clock::now();
    const convnext_edge::Model model(options.model, {threads});
    const double load_ms = since(started);
    auto workspace = model.workspace();
    const auto& info = model.info();
    const auto answer = [&] {
        model.run(image, workspace);
        if (info.task == "classify") workspace.rank(1);
        if (info.task == "multilabel") workspace.judge();
        if (info.task == "segment") workspace.label_map();
        if (info.task == "detect") workspace.objects();
    };
    started = Clock::now();
    answer();
    const double first_ms = since(started);
    const auto engine = time_calls(options.runs, [&] { workspace.infer(); });
    const auto whole = time_calls(options.runs, answer);
    const std::string why = doubt(engine);
    const auto field = [](const char* name, const std::string& value) {
        return std::string("  \"") + name + "\": " + value + ",\n";
    };
    return "{\n" + field("artifact", quoted(options.model + "/" + info.engine)) +
           field("target", quoted(info.runtime)) + field("runtime_version", quoted(info.runtime_version)) +
           field("batch", "1") + field("threads", std::to_string(threads)) +
           field("runs", std::to_string(options.runs)) + field("device", "null") +
           field("cpu", quoted(line_of("/proc/cpuinfo", {"model name", "Hardware", "CPU part"}))) +
           field("isa", instructions()) + field("candidate_ms", percentiles(engine)) + field("reference_ms", "null") +
           field("speedup", "null") + field("speedup_ci95", "null") + field("reliable", why.empty() ? "true" : "false") +
           field("doubt", quoted(why)) + field("throughput_ips", rounded(1000 / percentile(engine, 50))) +
           field("peak_rss_bytes", peak_rss()) + field("gates", "[]") + field("passed", "true") +
           field("fp16_ms", "null") + field("advice", "null") + field("hint", quoted("latency")) +
           field("candidate_histogram", "null") + field("reference_histogram", "null") +
           field("throughput", "null") + field("layers", "[]") + field("sweep", "[]") + field("load_ms", rounded(load_ms)) + field("first_answer_ms", rounded(first_ms)) +
           "  \"end_to_end_ms\": " + percentiles(whole) + "\n}";
}
