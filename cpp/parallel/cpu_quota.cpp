#include "parallel/cpu_quota.hpp"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>

namespace heedful {
namespace {

constexpr int kMaxProcessors = 1 << 20;

// The smaller of two numbers of processors, where 0 is no limit.
int tighter(int a, int b) {
  if (a == 0 || b == 0) return std::max(a, b);
  return std::min(a, b);
}

std::string first_word(const std::string& file) {
  std::string word;
  std::ifstream(file) >> word;
  return word;
}

// Version 2: one file, "<quota> <period>" or "max <period>".
int quota_v2(const std::string& folder) {
  std::string quota, period;
  std::ifstream(folder + "/cpu.max") >> quota >> period;
  return processors_of_quota(quota, period);
}

// Version 1: one file for each value.
int quota_v1(const std::string& folder) {
  return processors_of_quota(first_word(folder + "/cpu.cfs_quota_us"),
                             first_word(folder + "/cpu.cfs_period_us"));
}

// The tightest quota of the group at `path` below `mount` and of all its parents. A container often
// sees the host's path where only its own group is mounted: missing folders are skipped, and the
// mount itself remains.
int quota_up_from(const std::string& mount, std::string path, int (*quota_of)(const std::string&)) {
  int tightest = quota_of(mount);
  while (path.size() > 1) {
    tightest = tighter(tightest, quota_of(mount + path));
    path.erase(path.rfind('/'));
  }
  return tightest;
}

bool names_cpu(const std::string& controllers) {
  std::istringstream names(controllers);
  for (std::string name; std::getline(names, name, ',');) {
    if (name == "cpu") return true;
  }
  return false;
}

}  // namespace

int processors_of_quota(const std::string& quota, const std::string& period) {
  const double processors = std::atof(quota.c_str()) / std::atof(period.c_str());
  if (!(processors > 0 && processors < kMaxProcessors)) return 0;
  const int whole = static_cast<int>(processors);
  return whole < processors ? whole + 1 : whole;
}

int cpu_quota(const std::string& root) {
  int tightest = 0;
  std::ifstream groups(root + "/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {  // <id>:<controllers>:<path>
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string path = line.substr(second + 1);
    if (path.empty() || path.front() != '/') continue;
    const std::string mount = root + "/sys/fs/cgroup";
    if (controllers.empty()) {
      tightest = tighter(tightest, quota_up_from(mount, path, &quota_v2));
      tightest = tighter(tightest, quota_up_from(mount + "/unified", path, &quota_v2));
    } else if (names_cpu(controllers)) {
      tightest = tighter(tightest, quota_up_from(mount + "/cpu", path, &quota_v1));
      tightest = tighter(tightest, quota_up_from(mount + "/cpu,cpuacct", path, &quota_v1));
    }
  }
  return tightest;
}

}  // namespace heedful
