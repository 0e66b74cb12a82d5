#include "facts.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <locale>
#include <sstream>
#include <system_error>

#ifndef _WIN32
#include <sys/utsname.h>
#include <unistd.h>
#endif
#ifdef __GLIBC__
#include <gnu/libc-version.h>
#endif

namespace {

using std::filesystem::path;

constexpr std::size_t kMostText = 1 << 16;  // bytes

std::string beginning_of(const path& file) {
    std::ifstream stream(file, std::ios::binary);
    std::string text(kMostText, '\0');
    stream.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(std::max<std::streamsize>(stream.gcount(), 0)));
    return text;
}

std::string word_in(const path& file) {
    std::ifstream stream(file);
    std::string found;
    stream >> found;
    return found;
}

/// NaN where there is none.
double number_in(const path& file) {
    std::ifstream stream(file);
    double found = 0;
    return stream >> found ? found : std::nan("");
}

/// The folders in `place` whose names begin so.
std::vector<path> folders(const path& place, const std::string& prefix) {
    std::vector<path> found;
    std::error_code hidden;
    for (const auto& entry : std::filesystem::directory_iterator(place, hidden)) {
        if (entry.path().filename().string().rfind(prefix, 0) == 0) found.push_back(entry.path());
    }
    return found;
}

/// The clock that Linux gives the CPU which may be the fastest: where cores differ, that is one of the large ones.
path fastest_clock() {
    path found;
    double most = -1;
    for (const path& cpu : folders("/sys/devices/system/cpu", "cpu")) {
        const double clock = number_in(cpu / "cpufreq" / "cpuinfo_max_freq");
        if (clock > most) {
            most = clock;
            found = cpu / "cpufreq";
        }
    }
    return found;
}

double hottest() {
    double found = std::nan("");
    for (const path& zone : folders("/sys/class/thermal", "thermal_zone")) {
        found = std::fmax(found, number_in(zone / "temp") / 1000);
    }
    return found;
}

double peak_bytes() {
    std::istringstream status(beginning_of("/proc/self/status"));
    for (std::string line; std::getline(status, line);) {
        if (line.rfind("VmHWM:", 0) == 0) return 1024 * std::stod(line.substr(6));  // kibibytes
    }
    return std::nan("");
}

}  // namespace

std::string json(const std::string& text) {
    std::string made = "\"";
    for (const char c : text) {
        char escaped[8] = {c};
        if (c == '"' || c == '\\') std::snprintf(escaped, sizeof escaped, "\\%c", c);
        else if (static_cast<unsigned char>(c) < 0x20) std::snprintf(escaped, sizeof escaped, "\\u%04x", c);
        made += escaped;
    }
    return made + "\"";
}

std::string json(double value) {
    if (!std::isfinite(value)) return "null";
    std::ostringstream text;
    text.imbue(std::locale::classic());
    text.precision(12);
    text << value;
    return text.str();
}

std::string json(const Fields& fields) {
    std::string made = "{";
    for (const auto& [name, value] : fields) made += (made.size() > 1 ? ", " : "") + json(name) + ": " + value;
    return made + "}";
}

Fields lasting_facts() {
    std::string machine;
    std::string kernel;
    std::string libc;
#ifndef _WIN32
    utsname names{};
    if (uname(&names) == 0) {
        machine = names.machine;
        kernel = std::string(names.sysname) + " " + names.release;
    }
#endif
#ifdef __GLIBC__
    libc = std::string("glibc ") + gnu_get_libc_version();
#endif
    return {{"machine", json(machine)},
            {"kernel", json(kernel)},
            {"libc", json(libc)},
            {"cpuinfo", json(beginning_of("/proc/cpuinfo"))}};
}

Fields passing_facts() {
    const path clock = fastest_clock();
    const auto megahertz = [&](const char* name) { return json(number_in(clock / name) / 1000); };
    return {{"governor", json(word_in(clock / "scaling_governor"))},
            {"clock_mhz", megahertz("scaling_cur_freq")},
            {"max_clock_mhz", megahertz("cpuinfo_max_freq")},
            {"temperature_c", json(hottest())},
            {"peak_rss_bytes", json(peak_bytes())}};
}

double busy_seconds() {
#ifdef _WIN32
    return -1;
#else
    std::istringstream line(beginning_of("/proc/stat"));  // "cpu USER NICE SYSTEM IDLE IOWAIT IRQ SOFTIRQ STEAL ..."
    std::string name;
    line >> name;
    double busy = 0;
    for (int column = 0; column < 8; ++column) {
        double ticks = 0;
        if (!(line >> ticks)) return -1;
        if (column != 3 && column != 4) busy += ticks;
    }
    return busy / static_cast<double>(sysconf(_SC_CLK_TCK));
#endif
}
