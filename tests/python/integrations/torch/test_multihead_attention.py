"""The swapped layer gives what PyTorch's gives, for every combination of its options."""

from __future__ import annotations

import copy
import itertools
import pickle
from typing import Any

import pytest

# PyTorch warns of parts of its own that it will drop, and of masks of different types
pytestmark = [
    pytest.mark.peer, pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Support for mismatched:UserWarning"),
    pytest.mark.filterwarnings("ignore:enable_nested_tensor:UserWarning"),
    pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning"),
]  # fmt: skip

torch = pytest.importorskip("torch")

from heedful.integrations.torch import MultiheadAttention, _multihead_attention, swap, unswap  # noqa: E402  # noqa: E402

N, L, S, E, H = 3, 5, 7, 12, 3
ATTN_MASKS = ("none", "two", "three", "float", "causal")


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry for each call of heedful's attention by the layer."""
    found: list[str] = []
    attend = _multihead_attention.attention

    def noted(*tensors: Any, **options: Any) -> Any:
        found.append("attention")
        return attend(*tensors, **options)

    monkeypatch.setattr(_multihead_attention, "attention", noted)
    return found


def layer_pair(**options: Any) -> tuple[Any, Any]:
    theirs = torch.nn.MultiheadAttention(E, H, **options)
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return theirs, swap(copy.deepcopy(theirs))


def inputs(batch_first: bool, own_depths: bool, self_attention: bool) -> tuple[Any, Any, Any]:
    def draw(length: int, depth: int) -> Any:
        shape = (N, length, depth) if batch_first else (length, N, depth)
        return torch.randn(shape, requires_grad=True)

    if self_attention:
        query = draw(S, E)
        return query, query, query
    return draw(L, E), draw(S, 8 if own_depths else E), draw(S, 10 if own_depths else E)


def padding(kind: str) -> Any:
    hidden = torch.arange(S) >= torch.tensor([7, 4, 1])[:, None]
    return {"none": None, "bool": hidden,
            "float": torch.randn(N, S).masked_fill(hidden, -torch.inf)}[kind]  # fmt: skip


def attn_mask(kind: str, length: int) -> tuple[Any, bool]:
    hidden = torch.rand(N * H, length, S) < 0.3
    hidden[..., 0] = False  # no row is empty: PyTorch's would be NaN
    if kind == "causal":
        return torch.ones(length, S, dtype=torch.bool).triu(1), True
    return {
        "none": None, "two": hidden[0], "three": hidden,
        "float": torch.randn(length, S).masked_fill(hidden[1], -torch.inf),
    }[kind], False  # fmt: skip


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    ("own_depths", "self_attention"), [(False, False), (True, False), (False, True)]
)
@pytest.mark.parametrize("batch_first", [False, True])
def test_results_weights_and_gradients_are_pytorchs(
    batch_first: bool, own_depths: bool, self_attention: bool, training: bool, calls: list[str]
) -> None:
    options = {"kdim": 8, "vdim": 10} if own_depths else {}
    theirs, mine = layer_pair(batch_first=batch_first, bias=not training, **options)
    theirs.train(training)
    mine.train(training)
    given = inputs(batch_first, own_depths, self_attention)
    kinds = itertools.product(("none", "bool", "float"), ATTN_MASKS, ("no", "mean", "each"))
    for count, (padded, masked, weights) in enumerate(kinds, 1):
        mask, is_causal = attn_mask(masked, given[0].shape[1 if batch_first else 0])
        arguments: dict[str, Any] = {
            "key_padding_mask": padding(padded), "attn_mask": mask, "is_causal": is_causal,
            "need_weights": weights != "no", "average_attn_weights": weights == "mean",
        }  # fmt: skip
        expected, found = theirs(*given, **arguments), mine(*given, **arguments)
        for one, other in zip(found, expected, strict=True):
            assert one is other is None or torch.allclose(one, other, atol=2e-6), (padded, masked)
        assert found[0].is_contiguous()
        gradients = (
            torch.autograd.grad(
                out.square().sum() + (0 if weight is None else weight.square().sum()),
                [*{id(one): one for one in given}.values(), *layer.parameters()],
            )
            for layer, (out, weight) in ((mine, found), (theirs, expected))
        )
        for one, other in zip(*gradients, strict=True):
            assert torch.allclose(one, other, atol=1e-4, rtol=1e-4), (padded, masked)
        assert len(calls) == count


@pytest.mark.parametrize("batch_first", [False, True])
def test_inputs_without_a_batch_are_taken(batch_first: bool, calls: list[str]) -> None:
    theirs, mine = layer_pair(batch_first=batch_first)
    query, key = torch.randn(L, E), torch.randn(S, E)
    arguments = {"key_padding_mask": padding("bool")[1], "attn_mask": attn_mask("two", L)[0]}
    expected = theirs(query, key, key, **arguments)
    for one, other in zip(mine(query, key, key, **arguments), expected, strict=True):
        assert one.shape == other.shape
        assert torch.allclose(one, other, atol=2e-6)
    assert calls


def test_a_query_that_sees_nothing_gives_what_the_bias_gives() -> None:
    _, mine = layer_pair(batch_first=True)
    query = torch.randn(N, S, E)
    hidden = torch.ones(N, S, dtype=torch.bool)
    out, weights = mine(query, query, query, key_padding_mask=hidden)
    assert torch.equal(out, mine.out_proj.bias.expand_as(out))
    assert not weights.any()


def test_dropout_follows_pytorchs_generator_and_is_seen_in_the_weights() -> None:
    _, mine = layer_pair(dropout=0.5)
    query = torch.randn(40, N, E)

    def draw() -> Any:
        torch.manual_seed(3)
        return mine(query, query, query, average_attn_weights=False)

    (out, weights), (again, _) = draw(), draw()
    assert torch.equal(out, again)
    assert 0.45 < (weights == 0).float().mean() < 0.55
    mine.eval()
    assert (mine(query, query, query)[1] > 0).all()


@pytest.mark.parametrize("options", [{"add_bias_kv": True}, {"add_zero_attn": True}])
def test_what_heedful_does_not_take_is_pytorchs(options: Any, calls: list[str]) -> None:
    theirs, mine = layer_pair(**options)
    query = torch.randn(S, N, E)
    for one, other in zip(mine(query, query, query), theirs(query, query, query), strict=True):
        assert torch.equal(one, other)
    assert not calls


def test_wrong_arguments_have_pytorchs_messages() -> None:
    theirs, mine = layer_pair()
    x = torch.randn(S, N, E)
    for arguments in ({"attn_mask": torch.zeros(2, 2)}, {"is_causal": True}):
        messages = []
        for layer in (theirs, mine):
            with pytest.raises(RuntimeError) as raised:
                layer(x, x, x, **arguments)
            messages.append(str(raised.value))
        assert messages[0] == messages[1]


def test_other_types_give_their_own(calls: list[str]) -> None:
    theirs, mine = layer_pair(batch_first=True)
    x = torch.randn(N, S, E)
    with torch.autocast("cpu", torch.bfloat16):
        out, weights = mine(x, x, x)
    assert (out.dtype, weights.dtype) == (torch.bfloat16, torch.bfloat16)
    assert torch.allclose(out.float(), theirs(x, x, x)[0], atol=0.05)
    out, weights = mine.bfloat16()(*[x.bfloat16()] * 3)
    assert (out.dtype, weights.dtype) == (torch.bfloat16, torch.bfloat16)


def model(dropout: float = 0.0) -> Any:
    layer = torch.nn.TransformerEncoderLayer(E, 2, 17, dropout=dropout, batch_first=True)
    return torch.nn.TransformerEncoder(layer, 2)


@pytest.mark.parametrize("padded", ["none", "bool"])
def test_an_encoder_reaches_heedful_in_training_and_past_its_fast_path(
    padded: str, calls: list[str]
) -> None:
    theirs = model().eval()
    mine = swap(copy.deepcopy(theirs))
    x, hidden = torch.randn(N, S, E), padding(padded)
    seen = torch.ones(N, S, dtype=torch.bool) if hidden is None else ~hidden
    with torch.no_grad():
        expected, found = (one(x, src_key_padding_mask=hidden) for one in (theirs, mine))
    assert len(calls) == 2
    assert torch.allclose(found[seen], expected[seen], atol=5e-6)
    theirs.train()
    mine.train()
    assert torch.allclose(mine(x), theirs(x), atol=5e-6)
    assert len(calls) == 4
    with torch.no_grad():
        again = unswap(mine).eval()(x, src_key_padding_mask=hidden)
    assert len(calls) == 4
    assert torch.equal(again, expected)


def test_swapping_keeps_parameters_and_is_taken_back_after_pickling() -> None:
    before = model()
    parameters, names = list(before.parameters()), list(before.state_dict())
    layer = before.layers[0]
    assert swap(swap(before)) is before
    assert before.layers[0] is layer
    assert type(layer.self_attn) is MultiheadAttention
    assert layer.activation_relu_or_gelu == 0
    after = pickle.loads(pickle.dumps(before))
    assert type(after.layers[0].self_attn) is MultiheadAttention
    for one in (before, after):
        assert list(unswap(unswap(one)).state_dict()) == names
        assert type(one.layers[0].self_attn) is torch.nn.MultiheadAttention
        assert one.layers[0].activation_relu_or_gelu == 1
        assert vars(one.layers[0]).keys() == vars(model().layers[0]).keys()
    assert all(one is other for one, other in zip(before.parameters(), parameters, strict=True))


def test_a_model_without_such_a_layer_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^model must contain a torch.nn.MultiheadAttention"):
        swap(torch.nn.Linear(3, 3))
    for function in (swap, unswap):
        with pytest.raises(TypeError, match=r"^model must be a torch.nn.Module: got 3$"):
            function(3)


def test_memory_does_not_grow_with_the_heads_of_averaged_weights() -> None:
    """The weights of all heads would be 64 MB, those that are returned are 4."""
    mine = MultiheadAttention(64, 16, batch_first=True).eval()
    x = torch.randn(1, 1000, 64)
    with torch.no_grad(), torch.profiler.profile(profile_memory=True) as profile:
        mine(x, x, x)
    largest = max(event.self_cpu_memory_usage for event in profile.key_averages())
    assert largest < 8e6
