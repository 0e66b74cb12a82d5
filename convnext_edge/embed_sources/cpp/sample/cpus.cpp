#include "cpus.hpp"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#ifdef __linux__
#include <sched.h>
#endif

namespace {

using std::filesystem::path;

int allowed_cpus() {
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) == 0) return CPU_COUNT(&set);
#endif
    return static_cast<int>(std::thread::hardware_concurrency());
}

/// The two numbers of a limit, quota and period in microseconds, as CPUs; `most` where there is no limit.
double cpus(std::istream&& quota, std::istream&& period, double most) {
    double share = 0;
    double whole = 0;
    return quota >> share && period >> whole && share > 0 && whole > 0 ? std::min(most, share / whole) : most;
}

/// The least limit of the group `own` and of those above it. `mounted`: where their hierarchy is.
double least(const path& mounted, path own, double most) {
    for (own = own.relative_path();; own = own.parent_path()) {
        std::ifstream both(mounted / own / "cpu.max");  // version 2: "QUOTA PERIOD", or "max PERIOD"
        std::string quota;
        std::string period;
        both >> quota >> period;
        most = cpus(std::istringstream(quota), std::istringstream(period), most);
        // version 1, where -1 is no limit
        most = cpus(std::ifstream(mounted / own / "cpu.cfs_quota_us"),
                    std::ifstream(mounted / own / "cpu.cfs_period_us"), most);
        if (own.empty()) return most;
    }
}

}  // namespace

int usable_cpus(const path& root) {
    double most = std::max(1, allowed_cpus());
    std::ifstream groups(root / "proc/self/cgroup");  // lines as "0::/own" or "4:cpu,cpuacct:/own"
    for (std::string line; std::getline(groups, line);) {
        const auto first = line.find(':');
        const auto second = line.find(':', first + 1);
        if (first == std::string::npos || second == std::string::npos) continue;
        const std::string controllers = line.substr(first + 1, second - first - 1);
        const bool counts = controllers.empty() || ("," + controllers + ",").find(",cpu,") != std::string::npos;
        if (counts) most = least(root / "sys/fs/cgroup" / controllers, line.substr(second + 1), most);
    }
    return std::max(1, static_cast<int>(most));
}
