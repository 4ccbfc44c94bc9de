// The quota of a control group, from copies of the kernel's files.
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "check.hpp"
#include "parallel/cpu_quota.hpp"

namespace heedful {
namespace {

namespace fs = std::filesystem;

// A folder in place of "/", with the files of the test.
class Machine {
 public:
  Machine()
      : root_((fs::temp_directory_path() /
               ("heedful_quota_" + std::to_string(getpid()) + "_" + std::to_string(count_++)))
                  .string()) {
    fs::create_directories(root_);
  }
  ~Machine() {
    std::error_code ignored;
    fs::remove_all(root_, ignored);
  }

  Machine& file(const std::string& path, const std::string& contents) {
    fs::create_directories(fs::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << contents;
    return *this;
  }
  int quota() const { return cpu_quota(root_); }

 private:
  static inline int count_ = 0;
  std::string root_;
};

void quotas_are_rounded_up() {
  check(processors_of_quota("100000", "100000") == 1, "one processor");
  check(processors_of_quota("250000", "100000") == 3, "two and a half are three");
  check(processors_of_quota("50000", "100000") == 1, "half a processor is one");
  check(processors_of_quota("1", "100000") == 1, "a tiny quota is one");
  check(processors_of_quota("max", "100000") == 0, "max is no limit");
  check(processors_of_quota("-1", "100000") == 0, "-1 is no limit");
  check(processors_of_quota("100000", "0") == 0, "a period of 0 is no limit");
  check(processors_of_quota("", "") == 0, "empty files are no limit");
  check(processors_of_quota("99999999999999999999", "1") == 0, "more than any machine has");
  check(processors_of_quota("quota", "period") == 0, "words are no limit");
}

void a_machine_without_control_groups_has_no_limit() {
  check(Machine().quota() == 0, "no files, no limit");
  check(Machine().file("/proc/self/cgroup", "").quota() == 0, "no groups, no limit");
  check(Machine().file("/proc/self/cgroup", "nonsense\n1:2\n:::\n0::\n").quota() == 0,
        "lines that cannot be parsed are skipped");
}

void version_2() {
  Machine machine;
  machine.file("/proc/self/cgroup", "0::/kubepods/pod7/box\n")
      .file("/sys/fs/cgroup/kubepods/pod7/box/cpu.max", "max 100000\n");
  check(machine.quota() == 0, "max is no limit");
  machine.file("/sys/fs/cgroup/kubepods/pod7/box/cpu.max", "700000 100000\n");
  check(machine.quota() == 7, "the process's own group");
  machine.file("/sys/fs/cgroup/kubepods/cpu.max", "300000 100000\n");
  check(machine.quota() == 3, "a tighter parent group");
  machine.file("/sys/fs/cgroup/kubepods/pod7/cpu.max", "500000 100000\n");
  check(machine.quota() == 3, "a wider group between them has no effect");
  machine.file("/sys/fs/cgroup/cpu.max", "150000 100000\n");
  check(machine.quota() == 2, "the mount itself");
}

void a_container_that_sees_the_path_of_its_host() {
  check(Machine()
                .file("/proc/self/cgroup", "0::/docker/0123abc\n")
                .file("/sys/fs/cgroup/cpu.max", "200000 100000\n")
                .quota() == 2,
        "version 2: the quota is found at the mount");
  check(Machine()
                .file("/proc/self/cgroup", "4:cpu,cpuacct:/docker/0123abc\n")
                .file("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "200000\n")
                .file("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n")
                .quota() == 2,
        "version 1: the quota is found at the mount");
}

void version_1() {
  Machine machine;
  machine.file("/proc/self/cgroup", "9:cpuset:/\n3:cpuacct,cpu:/box\n0::/\n")
      .file("/sys/fs/cgroup/cpu/box/cpu.cfs_quota_us", "-1\n")
      .file("/sys/fs/cgroup/cpu/box/cpu.cfs_period_us", "100000\n")
      .file("/sys/fs/cgroup/cpuset/cpu.cfs_quota_us", "100000\n")
      .file("/sys/fs/cgroup/cpuset/cpu.cfs_period_us", "100000\n");
  check(machine.quota() == 0, "-1 is no limit, and other controllers do not count");
  machine.file("/sys/fs/cgroup/cpu/box/cpu.cfs_quota_us", "350000\n");
  check(machine.quota() == 4, "the process's own group");
  machine.file("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "100000\n")
      .file("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  check(machine.quota() == 1, "a tighter parent group");
}

void both_versions_at_once() {
  check(Machine()
                .file("/proc/self/cgroup", "3:cpu:/\n0::/slice\n")
                .file("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "800000\n")
                .file("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n")
                .file("/sys/fs/cgroup/unified/slice/cpu.max", "600000 100000\n")
                .quota() == 6,
        "the tighter of the two");
}

}  // namespace
}  // namespace heedful

int main() {
  using namespace heedful;
  quotas_are_rounded_up();
  a_machine_without_control_groups_has_no_limit();
  version_2();
  a_container_that_sees_the_path_of_its_host();
  version_1();
  both_versions_at_once();
  return summary();
}
