"""What PyTorch itself demands of an operator: its checks, transforms, tracing and refusals."""

from __future__ import annotations

from typing import Any

import pytest

import heedful

# PyTorch warns of parts of its own that it will drop
pytestmark = [
    pytest.mark.peer, pytest.mark.once, pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]  # fmt: skip

torch = pytest.importorskip("torch")

from heedful.integrations.torch import _derivative, _operator, attention  # noqa: E402

WINDOW = {"window": (3, 1), "align": 1}


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def draw(*shape: int, dtype: Any = torch.float64) -> Any:
    return torch.randn(*shape, dtype=dtype)


def inputs(dtype: Any = torch.float64) -> list[Any]:
    """query (2, 4, 3, 5), key (2, 2, 7, 5), value (2, 2, 7, 6), bias (4, 3, 7), sink (4,)."""
    shapes = (2, 4, 3, 5), (2, 2, 7, 5), (2, 2, 7, 6), (4, 3, 7), (4,)
    return [draw(*shape, dtype=dtype).requires_grad_() for shape in shapes]


# every kind of option: arguments are query, key, value, bias, sink
CALLS = {
    "plain": lambda q, k, v, b, s: attention(q, k, v),
    "many options": lambda q, k, v, b, s: attention(
        q, k, v, bias=b, sink=s, softcap=3.0, return_lse=True, **WINDOW
    ),
    "masks": lambda q, k, v, b, s: attention(
        q, k, v, mask=b > 0, kv_lengths=[7, 4], alibi_slopes=torch.arange(4.0), align="upper_left"
    ),
    "dropout and weights": lambda q, k, v, b, s: attention(
        q, k, v, dropout_p=0.3, rng=7, return_weights=True
    ),
    "top_k": lambda q, k, v, b, s: attention(q, k, v, bias=b, top_k=3),
    "entmax of each head": lambda q, k, v, b, s: attention(
        q, k, v, normalizer=1.2 + 0.6 * torch.sigmoid(s)
    ),
    "block mask": lambda q, k, v, b, s: attention(
        q, k, v, block_mask=heedful.BlockMask([[True, False, True], [False, True, True]],
                                              block_size=(2, 3), lengths=(3, 7))
    ),
    "blhd": lambda q, k, v, b, s: attention(
        *(one.transpose(1, 2) for one in (q, k, v)), causal=True, align="lower_right",
        layout="blhd",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_gradients_are_those_of_differences(name: str) -> None:
    assert torch.autograd.gradcheck(CALLS[name], inputs(), fast_mode=True)


@pytest.mark.parametrize(
    ("name", "kind"),
    [*((name, "float64") for name in CALLS if name != "block mask"), ("many options", "bfloat16")],
)
def test_the_operators_pass_pytorchs_checks(
    name: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[Any, tuple[Any, ...]]] = []

    def noting(operator: Any) -> Any:
        def noted(*arguments: Any) -> Any:
            calls.append((operator, arguments))
            return operator(*arguments)

        return noted

    monkeypatch.setattr(_derivative._operator, "attention", noting(_operator.attention))
    backward = noting(_operator.attention_backward)
    monkeypatch.setattr(_derivative._operator, "attention_backward", backward)
    out = CALLS[name](*inputs(getattr(torch, kind)))
    (out if torch.is_tensor(out) else out[0]).sum().backward()
    monkeypatch.undo()
    assert len(calls) == 2
    checks = ["test_schema", "test_faketensor", "test_autograd_registration"]
    for operator, arguments in calls:
        given = [
            one.detach().clone().requires_grad_(one.is_floating_point() and len(calls) > at)
            if torch.is_tensor(one) else one
            for at, one in enumerate(arguments)
        ]  # fmt: skip
        torch.library.opcheck(operator, given, test_utils=checks)


@pytest.mark.parametrize("compiled", [False, True])
def test_a_bias_has_a_gradient_only_where_it_needs_one(
    compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[bool] = []
    differentiate = heedful.attention_backward

    def noted(*arrays: Any, bias_gradient: bool, **options: Any) -> Any:
        given.append(bias_gradient)
        return differentiate(*arrays, bias_gradient=bias_gradient, **options)

    monkeypatch.setattr(heedful, "attention_backward", noted)
    query, key, value, bias, _ = inputs()

    def loss(query: Any, bias: Any) -> Any:
        return attention(query, key, value, bias=bias).square().sum()

    torch._dynamo.reset()
    by = torch.compile(loss, fullgraph=True, backend="aot_eager") if compiled else loss
    both = torch.autograd.grad(by(query, bias), (query, bias))
    (constant,) = torch.autograd.grad(by(query, bias.detach()), (query,))
    assert torch.equal(constant, both[0])
    mapped = torch.func.vmap(torch.func.grad(loss), (None, 0))(query, bias.detach()[None])
    assert torch.allclose(mapped[0], constant)
    of_bias = torch.func.grad(loss, argnums=1)(query.detach(), bias.detach())
    assert torch.allclose(of_bias, both[1])
    assert given == [True, False, True, True]


def test_compiled_programs_are_one_graph() -> None:
    def loss(*given: Any) -> Any:
        return sum((one.square().sum() for one in CALLS["many options"](*given)), torch.zeros(()))

    given = inputs(torch.float32)
    torch._dynamo.reset()
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    found = torch.autograd.grad(compiled(*given), given)
    for mine, other in zip(found, torch.autograd.grad(loss(*given), given), strict=True):
        assert torch.equal(mine, other)


def test_compiled_programs_may_change_their_sizes_and_draw_anew() -> None:
    def call(x: Any, scale: float) -> Any:
        return attention(x, x, x, causal=True, scale=scale, dropout_p=0.5)

    torch._dynamo.reset()
    compiled = torch.compile(call, fullgraph=True, dynamic=True, backend="aot_eager")
    for length, scale in ((5, 0.3), (9, 0.4), (6, 0.5)):
        x = draw(2, 3, length, 8)
        assert compiled(x, scale).shape == x.shape
        assert not torch.equal(compiled(x, scale), compiled(x, scale))


def test_compiled_programs_break_their_graph_at_block_masks() -> None:
    mask = heedful.BlockMask.causal(5)

    def call(x: Any) -> Any:
        return attention(x, x, x, block_mask=mask) + 1

    x = draw(5, 8)
    torch._dynamo.reset()
    assert torch.equal(torch.compile(call, backend="aot_eager")(x), call(x))


def test_programs_are_exported() -> None:
    class Model(torch.nn.Module):  # type: ignore[misc]
        def forward(self, x: Any, sink: Any) -> Any:
            return attention(x, x, x, causal=True, sink=sink, softcap=2.0)

    given = (draw(2, 3, 5, 8), draw(3))
    length = torch.export.Dim("length", min=2, max=100)
    program = torch.export.export(Model(), given, dynamic_shapes=({2: length}, None))
    assert torch.equal(program.module()(*given), Model()(*given))
    longer = (draw(2, 3, 11, 8), given[1])
    assert torch.equal(program.module()(*longer), Model()(*longer))


def loss(q: Any, k: Any, v: Any) -> Any:
    return attention(q, k, v, causal=True, align="lower_right", softcap=2.0).square().sum()


def test_transforms_give_the_gradients_of_autograd() -> None:
    q, k, v = inputs()[:3]
    expected = torch.autograd.grad(loss(q, k, v), (q, k, v))
    given = [one.detach() for one in (q, k, v)]
    found = torch.func.grad(loss, argnums=(0, 1, 2))(*given)
    for mine, other in zip(found, expected, strict=True):
        assert torch.equal(mine, other)
    jacobian = torch.func.jacrev(loss)(*given)
    assert torch.allclose(jacobian, expected[0])


MAPPED: dict[str, tuple[Any, dict[str, Any]]] = {
    "all": ((0, 1, 2, None, None, None, None), {}),
    "the query alone": ((0, None, None, None, None, None, None), {}),
    "the keys alone": ((None, 1, None, None, None, None, None), {}),
    "bias, lengths and slopes": ((None, None, None, 1, None, 0, 0), {}),
    "query and bias": ((1, None, None, 0, None, None, None), {"layout": "bhld"}),
    "sinks": ((0, 1, 2, None, 0, None, None), {}),
    "the bias with dropout": (
        (None, None, None, 1, None, None, None),
        {"dropout_p": 0.4, "rng": 3},
    ),
}


@pytest.mark.parametrize("name", MAPPED)
def test_vmap_gives_what_a_loop_gives_and_so_do_gradients_within_it(name: str) -> None:
    dims, options = MAPPED[name]
    shapes = (2, 4, 3, 5), (2, 2, 7, 5), (2, 2, 7, 6), (4, 3, 7), (4,), (2,), (2, 4)
    given = []
    for shape, dim in zip(shapes, dims, strict=True):
        whole = shape if dim is None else (*shape[:dim], 3, *shape[dim:])
        given.append(torch.randint(1, 8, whole) if shape == (2,) else draw(*whole))

    def call(q: Any, k: Any, v: Any, b: Any, s: Any, n: Any, a: Any) -> Any:
        return attention(
            q, k, v, bias=b, sink=s, kv_lengths=n, alibi_slopes=a, align="upper_left", **options
        )

    def gradients(*one: Any) -> Any:
        return torch.func.grad(lambda *some: call(*some, *one[5:]).square().sum(), (0, 1, 2, 3, 4))(
            *one[:5]
        )

    for function in (lambda *one: (call(*one),), gradients):
        found = torch.vmap(function, in_dims=dims)(*given)
        for item in range(3):
            one = [each if dim is None else each.select(dim, item)
                   for each, dim in zip(given, dims, strict=True)]  # fmt: skip
            for mine, other in zip(found, function(*one), strict=True):
                assert torch.allclose(mine[item], other, atol=1e-12)


def test_vmap_with_noise_is_pytorchs_choice() -> None:
    x = draw(2, 5, 8).expand(3, 2, 5, 8)

    def call(one: Any) -> Any:
        return attention(one, one, one, dropout_p=0.5)

    with pytest.raises(RuntimeError, match="randomness"):
        torch.vmap(call)(x)
    same = torch.vmap(call, randomness="same")(x)
    assert torch.equal(same[0], same[1])
    different = torch.vmap(call, randomness="different")(x)
    assert not torch.equal(different[0], different[1])


def test_forward_mode_is_refused() -> None:
    q, k, v = (one.detach() for one in inputs()[:3])

    def call(one: Any) -> Any:
        return loss(one, k, v)

    with pytest.raises(NotImplementedError, match=r"^attention has no forward-mode derivative"):
        torch.func.jvp(call, (q,), (q,))
    with (
        torch.autograd.forward_ad.dual_level(),
        pytest.raises(NotImplementedError, match=r"^attention has no forward-mode derivative"),
    ):
        call(torch.autograd.forward_ad.make_dual(q, q))
    torch._dynamo.reset()
    with pytest.raises((NotImplementedError, RuntimeError)):
        torch.compile(lambda one: torch.func.jvp(call, (one,), (one,)), backend="aot_eager")(q)


def test_second_derivatives_are_refused() -> None:
    q, k, v = inputs()[:3]
    (gradient,) = torch.autograd.grad(loss(q, k, v), q, create_graph=True)
    with pytest.raises(NotImplementedError, match=r"^attention has no second derivative"):
        torch.autograd.grad(gradient.sum(), q)
    k, v = k.detach(), v.detach()
    with pytest.raises(NotImplementedError, match=r"^attention has no second derivative"):
        torch.func.jacrev(torch.func.grad(lambda one: loss(one, k, v)))(q.detach())


def test_a_checkpoint_computes_the_same_again() -> None:
    x = draw(2, 5, 8).requires_grad_()

    def call(one: Any) -> Any:
        return attention(one, one, one, dropout_p=0.5)

    def gradient(run: Any) -> Any:
        torch.manual_seed(1)
        return torch.autograd.grad(run().square().sum(), x)[0]

    found = gradient(lambda: torch.utils.checkpoint.checkpoint(call, x, use_reentrant=False))
    assert torch.equal(found, gradient(lambda: call(x)))


def test_inference_mode_records_nothing() -> None:
    x = draw(2, 5, 8).requires_grad_()
    expected = attention(x, x, x)
    with torch.inference_mode():
        out = attention(x, x, x)
    assert torch.equal(out, expected)
    assert not out.requires_grad
