// How many processors this process's control group (container) may use.
#pragma once

#include <string>

namespace heedful {

// The number of processors that the CPU quota of the process's control group, or of any parent
// group, allows: rounded up, at least 1; 0 where there is no quota. Reads <root>/proc/self/cgroup
// and <root>/sys/fs/cgroup, versions 1 and 2.
int cpu_quota(const std::string& root = "");

// Processors that `quota` microseconds in every `period` allow; 0 for "max", −1 or anything that
// cannot be parsed.
int processors_of_quota(const std::string& quota, const std::string& period);

}  // namespace heedful
