"""activate and restore: where PyTorch enters heedful's kernels, and where it does not."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

# PyTorch warns of parts of its own that it will drop
pytestmark = [
    pytest.mark.peer, pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.usefixtures("restored"),
]  # fmt: skip

torch = pytest.importorskip("torch")

import heedful.integrations.torch as heedful_torch  # noqa: E402

sdpa = torch.nn.functional.scaled_dot_product_attention
current = torch.nn.attention.current_flash_attention_impl


def encoder(**options: Any) -> Any:
    return torch.nn.TransformerEncoderLayer(22, 2, 31, batch_first=True, **options)


x, four = torch.randn(2, 5, 22), torch.randn(2, 2, 5, 11)
# whether heedful is entered
ENTERED: dict[str, tuple[bool, Callable[[], Any]]] = {
    "a float mask that needs a gradient": (
        False, lambda: sdpa(four, four, four, attn_mask=torch.zeros(5, 5, requires_grad=True))
    ),
    "values of another depth": (False, lambda: sdpa(four, four, four[..., :7])),
    "dropout": (False, lambda: sdpa(four, four, four, dropout_p=0.5)),
    "three axes": (False, lambda: sdpa(four[0], four[0], four[0])),
    "five axes": (False, lambda: sdpa(four[None], four[None], four[None])),
    "a batch that broadcasts": (False, lambda: sdpa(four, four[:1], four[:1])),
    "MultiheadAttention without weights": (
        True, lambda: torch.nn.MultiheadAttention(22, 2, batch_first=True)(
            x, x, x, need_weights=False)
    ),
    "MultiheadAttention with weights": (
        False, lambda: torch.nn.MultiheadAttention(22, 2, batch_first=True)(x, x, x)
    ),
    "a decoder layer": (
        True, lambda: torch.nn.TransformerDecoderLayer(22, 2, 31, batch_first=True).eval()(x, x)
    ),
    "an encoder layer in training, without dropout": (True, lambda: encoder(dropout=0.0)(x)),
    "an encoder layer in training, with dropout": (False, lambda: encoder()(x)),
    "an encoder layer's fast path": (False, lambda: no_grad(encoder().eval())),
    "func.grad": (True, lambda: torch.func.grad(lambda q: sdpa(q, four, four).sum())(four)),
    "vmap, item by item": (True, lambda: torch.vmap(sdpa)(four[None], four[None], four[None])),
}  # fmt: skip


def no_grad(layer: Any) -> Any:
    with torch.no_grad():
        return layer(x)


@pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")
@pytest.mark.parametrize("name", ENTERED)
def test_where_heedful_is_entered(name: str, entered: list[str]) -> None:
    expected, call = ENTERED[name]
    torch.manual_seed(1)
    theirs = call()
    torch.manual_seed(1)
    with heedful_torch.activate():
        found = call()
    assert bool(entered) == expected
    for mine, other in zip(*((one,) if torch.is_tensor(one) else one for one in (found, theirs)),
                           strict=True):  # fmt: skip
        assert mine is other is None or torch.allclose(mine, other, atol=2e-5)


def test_restoring_brings_pytorchs_kernels_back(entered: list[str]) -> None:
    before = sdpa(four, four, four)
    heedful_torch.activate()
    heedful_torch.activate()
    assert current() == "heedful"
    sdpa(four, four, four)
    heedful_torch.restore()
    assert current() is None
    assert torch.equal(sdpa(four, four, four), before)
    assert entered == ["attention"]
    heedful_torch.restore()


def test_a_block_leaves_what_was_active_outside_it() -> None:
    with heedful_torch.activate() as activation:
        assert current() == "heedful"
        with heedful_torch.activate():
            assert "active" in repr(activation)
        assert current() == "heedful"
    assert current() is None
    assert "restored" in repr(activation)
    heedful_torch.activate()
    with heedful_torch.activate():
        pass
    assert current() == "heedful"


def test_restoring_within_a_block_ends_it() -> None:
    with heedful_torch.activate():
        heedful_torch.restore()
        assert current() is None
        heedful_torch.activate()
    assert current() == "heedful"


def test_it_is_also_activated_by_its_name_in_pytorchs_registry(entered: list[str]) -> None:
    torch.nn.attention.activate_flash_attention_impl("heedful")
    sdpa(four, four, four)
    torch.nn.attention.restore_flash_attention_impl()
    sdpa(four, four, four)
    assert entered == ["attention"]
    with heedful_torch.activate():
        assert current() == "heedful"
    assert current() is None


def test_another_implementation_is_put_back() -> None:
    class Handle:
        def remove(self) -> None:
            pass

    torch.nn.attention.register_flash_attention_impl("other", register_fn=Handle)
    torch.nn.attention.activate_flash_attention_impl("other")
    try:
        with heedful_torch.activate():
            assert current() == "heedful"
        assert current() == "other"
    finally:
        torch.nn.attention.restore_flash_attention_impl()


def test_threads_may_activate_and_restore_at_once(entered: list[str]) -> None:
    expected, errors = sdpa(four, four, four), []

    def use(number: int) -> None:
        try:
            for _ in range(20):
                with heedful_torch.activate():
                    assert current() == "heedful"
                    assert torch.allclose(sdpa(four, four, four), expected, atol=2e-6)
        except BaseException as error:  # of a thread, to be raised by the test
            errors.append(error)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert current() is None
    assert len(entered) == 3 * 20
