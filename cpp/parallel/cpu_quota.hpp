// How many processors this process's control group (container) may use.
#pragma once

#include <string>

namespace heedful {

// The processors that the quota of the process's control group, or of any group around it, pays
// for: rounded up, at least 1; 0 where there is no quota. Reads <root>/proc/self/cgroup and
// <root>/sys/fs/cgroup, versions 1 and 2.
int cpu_quota(const std::string& root = "");

// Processors that `quota` microseconds in every `period` pay for; 0 for "max", −1 or what cannot be
// read.
int processors_of_quota(const std::string& quota, const std::string& period);

}  // namespace heedful
