"""A process that has used heedful, or is using it, ends with 0 and does not hang."""

from __future__ import annotations

import subprocess
import time

import pytest
from process import run, started

pytestmark = [pytest.mark.once, pytest.mark.slow]

# It ends within 5 s where nothing else runs. A loaded machine needs longer; what hangs, minutes.
SOON = 20.0

WAYS_OUT = {
    "after use": """
        heedful.attention(*arrays())
        """,
    "from atexit": """
        import atexit
        x = arrays()
        @atexit.register
        def last():
            assert is_right(heedful.attention(*x), x)
            print("computed")
        """,
    "from atexit, first use": """
        import atexit
        atexit.register(lambda: heedful.attention(*arrays()))
        """,
    "with a pullback alive": """
        out, pullback = heedful.attention_vjp(*arrays())
        sys.keep = pullback
        """,
    "from a finalizer of the interpreter's end": """
        class Last:
            def __init__(self):
                self.x, self.attention = arrays(), heedful.attention
            def __del__(self):
                self.attention(*self.x)
        sys.last = Last()
        heedful.attention(*arrays())
        """,
    "with a daemon thread inside the kernel": """
        import threading
        threading.Thread(target=heedful.attention, args=endless(), daemon=True).start()
        time.sleep(0.5)
        """,
    "with daemon threads that come and go": """
        import threading
        x = arrays(1, 2, 199, 32)
        def work():
            while True:
                heedful.attention(*x)
        for _ in range(4):
            threading.Thread(target=work, daemon=True).start()
        time.sleep(0.3)
        """,
    "with daemon threads in pullbacks": """
        import threading
        x = arrays(1, 2, 499, 32)
        out, pullback = heedful.attention_vjp(*x)
        def work():
            while True:
                pullback(out)
        for _ in range(3):
            threading.Thread(target=work, daemon=True).start()
        time.sleep(0.3)
        """,
    "by sys.exit in a call's thread pool": """
        from concurrent.futures import ThreadPoolExecutor
        x = arrays()
        pool = ThreadPoolExecutor(3)
        futures = [pool.submit(heedful.attention, *x) for _ in range(30)]
        sys.exit(0)
        """,
    "in a forked child": """
        x = arrays()
        heedful.attention(*x)
        pid = os.fork()
        if pid:
            assert os.waitpid(pid, 0)[1] == 0
        else:
            assert is_right(heedful.attention(*x), x)
        """,
    "in a forked child with a daemon thread inside the kernel": """
        import threading
        heedful.attention(*arrays())
        pid = os.fork()
        if pid:
            assert os.waitpid(pid, 0)[1] == 0
        else:
            heedful.attention(*arrays())
            threading.Thread(target=heedful.attention, args=endless(), daemon=True).start()
            time.sleep(0.5)
        """,
}


def seconds_to_end(program: str) -> float:
    """Seconds from the end of the program's last line to the end of its process."""
    __tracebackhide__ = True
    last_line = 'print("last line", time.monotonic(), flush=True)\n'
    with started(
        f"heedful.set_num_threads(2)\ntry:\n{program}\nfinally:\n    {last_line}"
    ) as process:
        try:
            printed, errors = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            return float("inf")
        end = time.monotonic()
    assert process.returncode == 0, (process.returncode, errors)
    assert "Fatal" not in errors, errors
    return end - float(printed.rpartition("last line")[2].split()[0])


@pytest.mark.parametrize("way", WAYS_OUT)
def test_the_process_ends(way: str) -> None:
    repeats = 5 if "daemon" in way else 1  # where each thread is at exit varies
    for _ in range(repeats):
        assert seconds_to_end(WAYS_OUT[way]) < SOON


def test_a_daemon_thread_running_at_exit_touches_no_object() -> None:
    # Until Python 3.14 such a thread is ended, when it requests the interpreter lock again, by
    # unwinding its stack: that would release references without holding the lock.
    printed = run(
        """
import threading

heedful.set_num_threads(2)
for heads in (8, 16, 32, 64):
    x = arrays(1, heads, 4096, 64)
    start = time.process_time()
    heedful.attention(*x)
    if time.process_time() - start > 2:  # of two threads: a second at least
        break

class Last:
    def __init__(self):
        self.x, self.sleep, self.count, self.write = x, time.sleep, sys.getrefcount, os.write
    def __del__(self):  # on the main thread, while the interpreter ends
        before = [self.count(array) for array in self.x]
        self.sleep(6)  # the call ends meanwhile
        after = [self.count(array) for array in self.x]
        self.write(1, f"{before}\\n{after}".encode())  # sys.stdout is gone

thread = threading.Thread(target=heedful.attention, args=x, daemon=True)
thread.start()
time.sleep(0.3)
assert thread.is_alive()
sys.last = Last()
"""
    )
    before, after = printed.splitlines()
    assert before == after
