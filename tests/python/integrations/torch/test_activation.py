"""Where PyTorch enters heedful's kernels, where it does not, and that both give the same."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

# PyTorch warns of parts of its own that it will drop
pytestmark = [pytest.mark.peer, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

torch = pytest.importorskip("torch")

import heedful.integrations.torch as heedful_torch  # noqa: E402
from heedful.integrations.torch import _flash_attention  # noqa: E402

sdpa = torch.nn.functional.scaled_dot_product_attention
current = torch.nn.attention.current_flash_attention_impl


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    torch.manual_seed(0)
    yield
    heedful_torch.restore()


@pytest.fixture
def entered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of heedful's functions that calls reach, all sizes being computed by heedful."""
    names: list[str] = []

    def noting(name: str) -> Callable[..., Any]:
        function = getattr(_flash_attention.heedful, name)

        def noted(*arrays: Any, **options: Any) -> Any:
            names.append(name)
            return function(*arrays, **options)

        return noted

    for name in ("attention", "attention_backward"):
        monkeypatch.setattr(_flash_attention.heedful, name, noting(name))
    every_size(monkeypatch)
    return names


def every_size(monkeypatch: pytest.MonkeyPatch) -> None:
    for limits in (_flash_attention.SMALL_FORWARD, _flash_attention.SMALL_BACKWARD):
        for narrow in limits:
            monkeypatch.setitem(limits, narrow, 0)


def draw(*shape: int, dtype: Any = torch.float32, layout: str = "blhd") -> Any:
    tensor = torch.randn(shape, dtype=torch.float64).to(dtype)
    return tensor if layout == "bhld" else tensor.transpose(1, 2).contiguous().transpose(1, 2)


def mask(*shape: int) -> Any:
    found = torch.rand(shape) < 0.7
    found[..., 0, :] = False  # a row with nothing to attend
    return found


# query, key, value and the options of each call, and the path that PyTorch takes
CALLS: dict[str, tuple[Callable[[Any], tuple[Any, Any, Any]], Callable[[], dict[str, Any]]]] = {
    "plain": (lambda t: (draw(2, 3, 5, 11, dtype=t), *pair(t, 3)), dict),
    "contiguous": (
        lambda t: tuple(draw(2, 3, n, 11, dtype=t, layout="bhld") for n in (5, 7, 7)), dict
    ),
    "causal": (lambda t: (draw(2, 3, 7, 11, dtype=t), *pair(t, 3)), lambda: {"is_causal": True}),
    "causal, fewer queries": (
        lambda t: (draw(2, 3, 5, 11, dtype=t), *pair(t, 3)), lambda: {"is_causal": True}
    ),
    "scale": (lambda t: (draw(2, 3, 5, 11, dtype=t), *pair(t, 3)), lambda: {"scale": 0.7}),
    "mask": (
        lambda t: (draw(2, 3, 5, 11, dtype=t), *pair(t, 3)), lambda: {"attn_mask": mask(2, 1, 5, 7)}
    ),
    "padding": (
        lambda t: (draw(2, 3, 5, 11, dtype=t), *pair(t, 3)),
        lambda: {"attn_mask": (torch.arange(7) < torch.tensor([[7], [3]]))[:, None, None]},
    ),
    "mask of two axes": (
        lambda t: (draw(2, 3, 5, 11, dtype=t), *pair(t, 3)), lambda: {"attn_mask": mask(5, 7)}
    ),
    "grouped heads": (
        lambda t: (draw(2, 6, 5, 11, dtype=t), *pair(t, 3)), lambda: {"enable_gqa": True}
    ),
    "one query": (lambda t: (draw(2, 3, 1, 11, dtype=t), *pair(t, 3)), dict),
    "one repeated query": (lambda t: (draw(2, 3, 1, 11, dtype=t).expand(2, 3, 5, 11), *pair(t, 3)),
                           dict),
}  # fmt: skip


def pair(dtype: Any, heads: int) -> tuple[Any, Any]:
    return draw(2, heads, 7, 11, dtype=dtype), draw(2, heads, 7, 11, dtype=dtype)


def run(inputs: Any, options: dict[str, Any], upstream: Any, attend: Any = sdpa) -> list[Any]:
    """out and the gradients of query, key and value."""
    inputs = [tensor.detach().clone(memory_format=torch.preserve_format).requires_grad_()
              for tensor in inputs]  # fmt: skip
    out = attend(*inputs, **options)
    return [out, *torch.autograd.grad(out, inputs, upstream.to(out.dtype))]


def truth(inputs: Any, options: dict[str, Any], upstream: Any) -> list[Any]:
    """The same by PyTorch's mathematics in float64; rows with nothing to attend are 0."""
    options = dict(options)
    seen, chosen = options.get("attn_mask"), 1.0
    if seen is not None:
        chosen = seen.any(-1, keepdim=True).double()
        options["attn_mask"] = seen | ~seen.any(-1, keepdim=True)  # the mathematics gives NaN
    wide = [tensor.double() for tensor in inputs]
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        out, *gradients = run(wide, options, upstream.double() * chosen)
    return [out * chosen, *gradients]


@pytest.mark.parametrize("kind", ["float32", "float64", "bfloat16", "float16"])
@pytest.mark.parametrize("name", CALLS)
def test_results_and_gradients_are_those_of_float64(name: str, kind: str, entered: Any) -> None:
    make, options_of = CALLS[name]
    inputs, options = make(getattr(torch, kind)), options_of()
    upstream = torch.randn(*inputs[0].shape)
    expected = truth(inputs, options, upstream)
    theirs = run(inputs, options, upstream)
    with heedful_torch.activate():
        found = run(inputs, options, upstream)
    assert entered == ["attention", "attention_backward"]
    step = torch.finfo(getattr(torch, kind)).eps
    for mine, other, true in zip(found, theirs, expected, strict=True):
        assert mine.dtype == other.dtype
        assert mine.stride() == other.stride()
        error, bound = (mine.double() - true).abs().max(), 4 * step * true.abs().max()
        assert error <= max(bound, 2 * (other.double() - true).abs().max())


def test_the_memory_of_lse_is_ordered_as_pytorch_promises(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.compile relies on it."""
    every_size(monkeypatch)
    inputs = (draw(2, 3, 5, 11), *pair(torch.float32, 3))
    attend = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    _, expected = attend(*inputs)
    with heedful_torch.activate():
        _, found = attend(*inputs)
    assert torch.allclose(found, expected, atol=2e-6)
    assert found.stride() == attend(*(tensor.to("meta") for tensor in inputs))[1].stride()


def test_a_mask_of_booleans_is_one_again(monkeypatch: pytest.MonkeyPatch, entered: Any) -> None:
    """PyTorch writes it out as floats."""
    given: list[dict[str, Any]] = []
    attend = _flash_attention.heedful.attention

    def noted(*arrays: Any, **options: Any) -> Any:
        given.append(options)
        return attend(*arrays, **options)

    monkeypatch.setattr(_flash_attention.heedful, "attention", noted)
    inputs = (draw(2, 3, 5, 11), *pair(torch.float32, 3))
    padding = (torch.arange(7) < torch.tensor([[7], [3]]))[:, None, None]
    with heedful_torch.activate():
        sdpa(*inputs, attn_mask=mask(5, 7))
        sdpa(*inputs, attn_mask=padding.expand(2, 1, 5, 7))
        sdpa(*inputs, attn_mask=torch.zeros(5, 7).index_fill(1, torch.tensor([3]), 1.0))
        sdpa(*inputs, attn_mask=torch.zeros(5, 7).index_fill(0, torch.tensor([3]), 1.0))
    assert [options["mask"].shape[-2:] for options in given[:2]] == [(5, 7), (1, 7)]
    assert all("mask" not in options and "bias" in options for options in given[2:])


def test_a_mask_of_floats_is_added(entered: list[str]) -> None:
    inputs = (draw(2, 3, 5, 11), *pair(torch.float32, 3))
    added = torch.randn(2, 3, 5, 7).masked_fill(torch.rand(2, 1, 5, 7) < 0.3, -torch.inf)
    expected = sdpa(*inputs, attn_mask=added)
    with heedful_torch.activate():
        assert torch.allclose(sdpa(*inputs, attn_mask=added), expected, atol=2e-6)
    assert entered == ["attention"]


def test_no_gradient_is_formed_of_a_mask_of_floats(monkeypatch: pytest.MonkeyPatch) -> None:
    every_size(monkeypatch)
    inputs = [draw(2, 3, 5, 11).requires_grad_() for _ in range(3)]
    added = torch.randn(5, 5)
    expected = torch.autograd.grad(sdpa(*inputs, attn_mask=added).sum(), inputs)
    given: list[Any] = []
    differentiate = _flash_attention.heedful.attention_backward

    def noted(*arrays: Any, **options: Any) -> Any:
        given.append(differentiate(*arrays, **options))
        return given[-1]

    monkeypatch.setattr(_flash_attention.heedful, "attention_backward", noted)
    with heedful_torch.activate():
        found = torch.autograd.grad(sdpa(*inputs, attn_mask=added).sum(), inputs)
    assert [gradients.bias for gradients in given] == [None]
    for mine, other in zip(found, expected, strict=True):
        assert torch.allclose(mine, other, atol=1e-5)


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


def test_small_calls_are_passed_to_pytorch() -> None:
    query, out = torch.randn(2, 3, 5, 11), None
    out = sdpa(query, query, query)
    with heedful_torch.activate():
        assert torch.equal(sdpa(query, query, query), out)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_compiled_programs_enter_it_in_both_directions(entered: list[str]) -> None:
    def loss(query: Any, key: Any) -> Any:
        return sdpa(query * 2, key, key, is_causal=True).square().sum()

    inputs = [tensor.requires_grad_() for tensor in (draw(2, 3, 5, 11), draw(2, 3, 7, 11))]
    expected = torch.autograd.grad(loss(*inputs), inputs)
    torch._dynamo.reset()
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    with heedful_torch.activate():
        found = torch.autograd.grad(compiled(*inputs), inputs)
    assert entered == ["attention", "attention_backward"]
    for mine, other in zip(found, expected, strict=True):
        assert torch.allclose(mine, other, atol=1e-4)


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


def test_there_are_no_more_threads_than_pytorch_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    from heedful.integrations.torch import _num_threads

    def number(allowed: int, own: int) -> int:
        monkeypatch.setattr(torch, "get_num_threads", lambda: allowed)
        with heedful_torch._num_threads.heedful.num_threads(own), _num_threads.as_many_threads():
            return int(_num_threads.heedful.get_num_threads())

    assert [number(*pair) for pair in itertools.product((1, 3), (2, 4))] == [1, 1, 2, 3]
