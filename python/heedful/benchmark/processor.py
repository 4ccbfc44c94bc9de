"""What the system says about the processor."""

import os
import platform
from pathlib import Path


def fields() -> dict[str, str]:
    """The entries of /proc/cpuinfo for one core; empty where there is no such file."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    pairs = dict(line.split(":", 1) for line in lines if ":" in line)
    return {name.strip(): text.strip() for name, text in pairs.items()}


def name() -> str:
    named = fields()
    if not named:
        return platform.processor() or platform.machine()
    family = "/".join(named.get(n, "?") for n in ("cpu family", "model", "stepping"))
    return f"{named.get('model name', platform.machine())} (family/model/stepping {family})"


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
