"""heedful in PyTorch's OpenMP team: as many threads as PyTorch's, right results, forks, Ctrl-C."""

from __future__ import annotations

import itertools

import pytest
from process import run

import heedful

torch = pytest.importorskip("torch")
_threads = pytest.importorskip("heedful.integrations.torch._threads")

pytestmark = pytest.mark.peer

PROGRAM = """
import torch
import heedful.integrations.torch as heedful_torch
from heedful.integrations.torch import _threads
assert _threads._HAS_TEAM
torch.set_num_threads(2)
x = arrays(2, 3, 301, 32)
t = [torch.from_numpy(array) for array in x]
alone = heedful.attention(*x)

def computes():
    return np.array_equal(heedful_torch.attention(*t).numpy(), alone)
"""


def test_there_are_no_more_threads_than_pytorch_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    def number(allowed: int, own: int) -> int:
        monkeypatch.setattr(torch, "get_num_threads", lambda: allowed)
        with heedful.num_threads(own), _threads.on_torch_threads():
            return heedful.get_num_threads()

    assert [number(*pair) for pair in itertools.product((1, 3), (2, 4))] == [1, 1, 2, 3]


def test_the_calling_thread_is_as_before_also_after_an_error() -> None:
    from heedful._core import native

    with heedful.num_threads(torch.get_num_threads() + 1):
        before = heedful.get_num_threads()
        with pytest.raises(ValueError, match="within"), _threads.on_torch_threads():
            raise ValueError("within")
        assert heedful.get_num_threads() == before
    assert not native.exchange_openmp_here(False)


def test_the_team_is_not_used_with_fewer_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    from heedful._core import native

    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)

    def is_used(own: int) -> bool:
        with heedful.num_threads(own), _threads.on_torch_threads():
            before = native.exchange_openmp_here(False)
            native.exchange_openmp_here(before)
            return before

    assert is_used(3) == is_used(4) == _threads._HAS_TEAM
    assert not is_used(1)
    assert not is_used(2)


@pytest.mark.slow
def test_the_team_has_the_same_bits_and_no_other_threads_are_started() -> None:
    run(
        PROGRAM.replace("alone = heedful.attention(*x)\n", "")
        + """
heedful.set_num_threads(2)
large = torch.ones(512, 512)
def threads():
    large @ large
    return len(os.listdir("/proc/self/task"))
before = threads()
found = heedful_torch.attention(*t).numpy()
assert threads() == before
with heedful.num_threads(1):
    assert np.array_equal(found, heedful.attention(*x))
"""
    )


@pytest.mark.slow
def test_forked_children_and_several_threads_compute() -> None:
    run(
        PROGRAM
        + """
import threading
assert computes()
pid = os.fork()
if pid == 0:
    os._exit(0 if computes() and computes() else 1)
deadline = time.monotonic() + 60
while time.monotonic() < deadline:
    done, status = os.waitpid(pid, os.WNOHANG)
    if done:
        break
    time.sleep(0.01)
else:
    os.kill(pid, 9)
    raise AssertionError("the child hangs")
assert status == 0
right = []
threads = [threading.Thread(target=lambda: right.append(computes())) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert right == [True] * 4 and computes()
""",
    )


@pytest.mark.slow
def test_an_interrupt_ends_a_call_in_the_team() -> None:
    run(
        PROGRAM
        + """
import signal
def handler(number, frame):
    assert computes()  # within a region: alone
    raise KeyboardInterrupt
signal.signal(signal.SIGALRM, handler)
long = [torch.from_numpy(array.copy()).expand(1, 64, -1, -1) for array in
        (one[:, :1] for one in endless())]
signal.setitimer(signal.ITIMER_REAL, 0.3)
try:
    heedful_torch.attention(*long)
except KeyboardInterrupt:
    assert computes()
else:
    raise AssertionError("it was not interrupted")
""",
    )
