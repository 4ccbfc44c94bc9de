"""LinearAttention: a matrix of all pairs in NumPy as oracle, its state, and what it refuses."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import linear_attention_reference as reference
import numpy as np
import pytest
from numpy.typing import NDArray

from heedful.layers import LanguageModel, LinearAttention, LinearState, MultiHeadAttention
from heedful.training import load_weights, save_weights

Array = NDArray[Any]
RNG = np.random.default_rng(3)
X, MEMORY = RNG.standard_normal((3, 5, 12)), RNG.standard_normal((3, 7, 12))


def layer(**options: Any) -> LinearAttention:
    made = LinearAttention(12, 4, num_kv_heads=2, dtype="float64", rng=0, **options)
    for parameter in made.parameters().values():
        parameter += 0.3 * np.random.default_rng(1).standard_normal(parameter.shape)
    return made


def expected(
    made: LinearAttention, query: Array, key: Array, allowed: Array | None = None
) -> Array:
    """Projections, all pairs, and the projection of the result."""
    rows = np.split(made.in_proj_weight, [12, 18])
    shifts = np.split(made.in_proj_bias, [12, 18])

    def heads(x: Array, part: int) -> Array:
        flat = x @ rows[part].T + shifts[part]
        return flat.reshape(*flat.shape[:-1], -1, 3).swapaxes(-2, -3)

    out = reference.attention(heads(query, 0), heads(key, 1), heads(key, 2), allowed)
    joined = out.swapaxes(-2, -3).reshape(*query.shape[:-1], 12)
    return joined @ made.out_proj.weight.T + made.out_proj.bias


@pytest.mark.parametrize("causal", [False, True])
def test_self_attention_is_that_of_all_pairs(causal: bool) -> None:
    made, seen = layer(), np.tri(5, dtype=bool) if causal else None
    np.testing.assert_allclose(made(X, causal=causal), expected(made, X, X, seen), rtol=1e-10)
    np.testing.assert_allclose(layer(causal=causal)(X), expected(made, X, X, seen), rtol=1e-10)


def test_cross_attention_with_lengths_and_masks() -> None:
    made = layer()
    kept = np.array([True, True, False, True, True, False, True])
    lengths = np.array([7, 4, 1])
    seen = kept & (np.arange(7) < lengths[:, None])
    found = made(X, MEMORY, mask=kept, kv_lengths=lengths)
    right = expected(made, X, MEMORY, seen[:, None, None])
    np.testing.assert_allclose(found, right, rtol=1e-10)
    by_item = made(X, MEMORY, mask=seen[:, None, None])
    np.testing.assert_array_equal(by_item, found)


def test_one_memory_for_all_and_its_gradient() -> None:
    made = layer()
    y, backward = made.forward(X, MEMORY[:1])
    dy = RNG.standard_normal(y.shape)
    dx, dmemory = backward(dy)
    each = np.repeat(MEMORY[:1], 3, 0)
    whole, back = made.forward(X, each)
    np.testing.assert_allclose(y, whole, rtol=1e-12)
    whole_dx, whole_dmemory = back(dy)
    np.testing.assert_allclose(dx, whole_dx, rtol=1e-10)
    np.testing.assert_allclose(dmemory[0], whole_dmemory.sum(0), rtol=1e-10)


def test_padding_does_not_matter_whatever_it_holds() -> None:
    made = layer(causal=True)
    padded = np.concatenate([X, np.full((3, 4, 12), np.nan)], 1)
    y, backward = made.forward(padded, kv_lengths=[5, 5, 5], q_lengths=[5, 5, 5])
    np.testing.assert_allclose(y[:, :5], made(X), rtol=1e-12)
    dy = RNG.standard_normal(y.shape)
    plain, back = made.forward(X)
    np.testing.assert_allclose(backward(dy)[:, :5], back(dy[:, :5]), rtol=1e-10)
    assert plain.shape == (3, 5, 12)


def test_rows_past_q_lengths_are_those_of_no_heads() -> None:
    made = layer()
    y, backward = made.forward(X, q_lengths=[5, 2, 0])
    np.testing.assert_array_equal(y[1, 2:], np.tile(made.out_proj.bias, (3, 1)))
    dy = np.zeros_like(y)
    dy[1, 2:], dy[2] = 1, 1  # rows without heads
    np.testing.assert_array_equal(backward(dy), 0)


def test_a_query_that_sees_nothing_gets_the_bias_alone() -> None:
    made = layer()
    y, backward = made.forward(X, kv_lengths=[5, 0, 3])
    np.testing.assert_array_equal(y[1], np.tile(made.out_proj.bias, (5, 1)))
    np.testing.assert_array_equal(backward(np.ones_like(y))[1], 0)


def test_a_permuted_batch_is_permuted() -> None:
    made, order = LinearAttention(12, 3, causal=True, rng=0), [2, 0, 1]
    np.testing.assert_array_equal(made(X[order]), made(X)[order])


def test_rows_of_keys_may_come_in_any_order() -> None:
    made, order = layer(), RNG.permutation(7)
    np.testing.assert_allclose(made(X, MEMORY[:, order]), made(X, MEMORY), rtol=1e-10)


def test_dropout_drops_the_heads_results() -> None:
    made = LinearAttention(12, 3, dropout=0.5, rng=0)
    y, _ = made.forward(X, rng=0)
    again, _ = made.forward(X, rng=0)
    np.testing.assert_array_equal(y, again)
    assert not np.allclose(y, made(X))


def test_it_takes_the_parameters_of_multi_head_attention(tmp_path: Any) -> None:
    dense, linear = MultiHeadAttention(12, 3, rng=0), LinearAttention(12, 3, rng=1)
    save_weights(dense, tmp_path / "dense.safetensors")
    load_weights(linear, tmp_path / "dense.safetensors")
    for name, array in dense.parameters().items():
        np.testing.assert_array_equal(linear.parameters()[name], array)
    for other in (copy.deepcopy(linear), pickle.loads(pickle.dumps(linear))):
        np.testing.assert_array_equal(other(X), linear(X))


def test_the_representation_shows_the_options() -> None:
    shown = repr(LinearAttention(12, 4, num_kv_heads=2, kdim=5, causal=True)).splitlines()[0]
    assert shown == "LinearAttention(12, 4, num_kv_heads=2, kdim=5, causal=True"
    assert repr(LinearState()) == "LinearState(empty)"
    assert repr(filled()) == "LinearState(lengths=[5, 5, 5], 2 heads of 3 × 3)"


# --- the state


def in_steps(made: Any, x: Array, sizes: list[int], cache: Any) -> Array:
    ends = np.cumsum(sizes)
    parts = [
        made(x[:, end - size : end], cache=cache) for size, end in zip(sizes, ends, strict=True)
    ]
    return np.concatenate(parts, 1)


@pytest.mark.parametrize("sizes", [[1, 1, 1, 1, 1], [3, 2], [5], [1, 4]])
def test_steps_with_a_state_equal_the_whole(sizes: list[int]) -> None:
    made, state = layer(causal=True), LinearState()
    found = in_steps(made, X, sizes, state)
    np.testing.assert_allclose(found, made(X), rtol=1e-10)
    np.testing.assert_array_equal(state.lengths, [5, 5, 5])
    assert state.values.shape == (3, 2, 3, 3)
    assert state.features.shape == (3, 2, 3)
    assert state.values.dtype == np.float64


def test_a_state_counts_valid_rows_alone() -> None:
    made = layer(causal=True)
    state = made.new_cache(99)
    made(X, cache=state, kv_lengths=[5, 2, 3])
    np.testing.assert_array_equal(state.lengths, [5, 2, 3])
    more = made(MEMORY[:, :1], cache=state)
    for item, length in enumerate((5, 2, 3)):
        whole = made(np.concatenate([X[item, :length], MEMORY[item, :1]]))
        np.testing.assert_allclose(more[item, 0], whole[-1], rtol=1e-10)


def test_another_sequence_is_read_into_a_state_once() -> None:
    made, state = layer(), LinearState()
    whole = made(X, MEMORY, kv_lengths=[7, 3, 1])
    first = made(X[:, :2], MEMORY, kv_lengths=[7, 3, 1], cache=state)
    # afterwards the keys are not read
    rest = made(X[:, 2:], np.full_like(MEMORY, np.nan), cache=state)
    np.testing.assert_allclose(np.concatenate([first, rest], 1), whole, rtol=1e-10)
    np.testing.assert_array_equal(state.lengths, [7, 3, 1])


def test_a_state_can_be_copied_and_reordered() -> None:
    made, state = layer(causal=True), LinearState()
    made(X, cache=state)
    before = state.values.copy()
    branch = copy.deepcopy(state)
    row = MEMORY[:, :1]
    expected_rows = made(row, cache=branch)
    np.testing.assert_array_equal(state.values, before)
    state.reorder([2, 0, 0])
    np.testing.assert_array_equal(state.values, before[[2, 0, 0]])
    found = made(row[[2, 0, 0]], cache=state)
    np.testing.assert_allclose(found, expected_rows[[2, 0, 0]], rtol=1e-12)
    state.reorder([])
    assert state.lengths.shape == (0,)


def test_a_call_that_fails_leaves_the_state_as_it_was() -> None:
    made, state = layer(causal=True), LinearState()
    made(X, cache=state)
    before, lengths = state.values.copy(), state.lengths
    with pytest.raises(ValueError, match="residual must have shape"):
        made(X, cache=state, residual=X[:1])
    np.testing.assert_array_equal(state.values, before)
    np.testing.assert_array_equal(state.lengths, lengths)


def test_a_state_is_as_large_after_many_tokens() -> None:
    model = LanguageModel(31, 16, 4, 2, positions="sinusoidal", mixer="linear", rng=0)
    sizes = []
    for length in (1, 3000):
        caches = model.new_caches()
        model(np.zeros((1, length), int), caches=caches)
        sizes.append(sum(cache.values.nbytes + cache.features.nbytes for cache in caches))
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize(
    ("wrong", "kind", "message"),
    [
        (lambda: LinearState().values, ValueError, "the state is empty"),
        (lambda: filled().reorder([[0]]), ValueError, "items must have one axis: got shape"),
        (lambda: filled().reorder([3]), ValueError, r"items must lie in \[0, 2\]: got 3"),
        (lambda: filled().reorder([-1]), ValueError, r"items must lie in \[0, 2\]: got -1"),
        (lambda: filled().reorder(["a"]), TypeError, "items must be integers"),
        (lambda: layer()(X[:2], cache=filled()), ValueError, r"query must have shape \(3, L, 12\)"),
        (lambda: layer()(X[0], cache=LinearState()), ValueError, r"shape \(B, L, 12\)"),
        (lambda: LinearAttention(12, 3)(X, cache=filled()), ValueError,
         "cache must be of 3 heads of depth 4: got LinearState"),
        (lambda: layer().forward(X, cache=LinearState()), ValueError, "cache is for inference"),
        (lambda: layer()(X, X, causal=True, cache=filled()), ValueError,
         "causal must be False with a cache of another sequence"),
        (lambda: layer()(X, MEMORY, causal=True), ValueError,
         "causal must be False where query and key differ in length: query has 5 rows, key has 7"),
        (lambda: layer()(X, MEMORY, X), ValueError, "value and key must have the same length"),
        (lambda: layer()(X, bias=np.eye(5)), ValueError,
         "bias must be None, linear attention has no scores of single pairs: got an array"),
        (lambda: layer()(X, mask=np.tri(5, dtype=bool)), ValueError,
         r"mask must be the same for all queries, here \(…, 1, 1, 5\): got shape \(5, 5\)"),
        (lambda: LinearAttention(12, 5), ValueError, "num_heads must divide d_model"),
        (lambda: LinearAttention(12, 4, num_kv_heads=3), ValueError, "must divide num_heads"),
        (lambda: LinearAttention(12, 4, dropout=2), ValueError, "dropout must lie between"),
    ],
)  # fmt: skip
def test_is_refused_in_one_sentence(wrong: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        wrong()


def filled() -> LinearState:
    state = LinearState()
    layer()(X, cache=state)
    return state
