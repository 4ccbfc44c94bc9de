"""Libraries that bring an OpenMP of their own, in one process with heedful, in every order."""

from __future__ import annotations

import pytest
from process import run

pytestmark = [pytest.mark.once, pytest.mark.slow]

CHECK = """
x = arrays(2, 3, 301, 32)
expected = heedful.attention(*x)
def computes():
    out, pullback = heedful.attention_vjp(*x)
    gradients = pullback(out)
    return is_right(out, x) and np.array_equal(out, expected) and gradients.query.any()
heedful.set_num_threads(2)
"""

TORCH = """
torch.set_num_threads(2)
t = [torch.from_numpy(array) for array in x]
def peer():
    out = torch.nn.functional.scaled_dot_product_attention(*t)
    return np.allclose(out.numpy(), expected, rtol=1e-4, atol=1e-5)
"""

SCIKIT_LEARN = """
from sklearn.cluster import KMeans
points = np.concatenate([rng.normal(center, 0.1, (500, 2)) for center in (0, 5)])
def peer():
    labels = KMeans(2, n_init=1, random_state=0).fit(points).labels_
    return len(set(labels[:500])) == len(set(labels[500:])) == 1 and labels[0] != labels[-1]
"""

TAKING_TURNS = """
for _ in range(3):
    assert peer(), "the peer"
    assert computes(), "heedful"

import threading
right = []
threads = [threading.Thread(target=lambda f=f: right.append(f())) for f in (peer, computes) * 3]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert len(right) == 6 and all(right), right
"""

PEERS = {"torch": ("import torch", TORCH), "sklearn": ("import sklearn.cluster", SCIKIT_LEARN)}
ORDERS = ["peer first", "heedful first", "peer after the first call"]


@pytest.mark.peer
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("peer", PEERS)
def test_both_compute_right_and_none_hangs(peer: str, order: str) -> None:
    pytest.importorskip(peer)
    load, use = PEERS[peer]
    first = f"{load}\n" if order == "peer first" else ""
    second = f"{load}\n" if order == "heedful first" else ""
    third = f"assert computes()\n{load}\n" if order == "peer after the first call" else ""
    run(second + CHECK + third + use + TAKING_TURNS, before=first)


@pytest.mark.peer
@pytest.mark.parametrize("peer", PEERS)
def test_a_forked_child_computes_beside_another_openmp(peer: str) -> None:
    pytest.importorskip(peer)
    load, use = PEERS[peer]
    run(
        f"{load}\n{CHECK}{use}"
        """
assert peer() and computes()
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
assert status == 0 and computes() and peer()
"""
    )
