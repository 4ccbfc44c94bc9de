"""How it was compiled, and what holds for the whole process: a part of `_native`."""

def show_build() -> dict[str, str]: ...
def force_bfloat16(way: str) -> str:
    """Multiply bfloat16 that way ("" for the processor's own). Returns why it cannot, or ""."""

def force_int8(way: str) -> str:
    """Multiply int8 that way, likewise; all ways give the same bits."""

def default_num_threads() -> int: ...
def num_threads() -> int:
    """What a call would use now: the number of this thread, of all threads, or the default."""

def set_num_threads(number: int) -> None:
    """The number for all threads that have none of their own; 0: the default."""

def exchange_threads_here(number: int) -> int:
    """The number for the calling thread alone, 0: none. Returns the one before."""

def set_openmp_library(start: int, end: int) -> None:
    """The addresses of another library's GOMP_parallel_start and GOMP_parallel_end."""

def exchange_openmp_here(use: bool) -> bool:
    """Whether calls of this thread compute in its team there. Returns what held before."""

def cpu_quota(root: str = "") -> int:
    """Processors that the control group under root/proc and root/sys may use; 0: no limit."""

def fail_allocation(nth: int) -> None:
    """Make the nth scratch allocation from now on fail, from 1; 0 disarms. For tests."""
