"""AttentionMonitor: its statistics against dense weights, when it looks, and what it warns of."""

from __future__ import annotations

import pickle
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from heedful import layers as L
from heedful.base._taps import taps_of
from heedful.training import SGD, AttentionMonitor, Callback
from heedful.training.callbacks import _attention_statistics
from heedful.training.callbacks._attention_statistics import attention_statistics

Array = NDArray[Any]
RNG = np.random.default_rng(8)
X = RNG.standard_normal((4, 11, 8))


def attention(**options: Any) -> L.MultiHeadAttention:
    layer = L.MultiHeadAttention(8, 2, dtype=np.float64, rng=0, **options)
    layer.in_proj_weight *= 2
    return layer


def classifier(**options: Any) -> L.Sequential:
    model = L.Sequential(
        L.MultiHeadAttention(8, 2, rng=0, **options),
        L.GlobalAveragePooling(),
        L.Linear(8, 1, rng=1),
    )
    model.compile(optimizer=SGD(lr=0.1), loss="mse")
    return model


def train(model: L.Sequential, monitor: Any, batches: int = 7) -> Any:
    x = RNG.standard_normal((2 * batches, 5, 8)).astype(np.float32)
    return model.fit(x, x[:, 0, :1], batch_size=2, shuffle=False, callbacks=monitor, verbose=False)


def dense(layer: L.MultiHeadAttention, inputs: tuple[Array, ...], **options: Any) -> dict[str, Any]:
    """By plain loops over all weights."""
    _, weights = layer(*inputs, return_weights=True, **options)
    found: dict[str, list[Any]] = {
        name: [] for name in ("entropy", "equal", "largest", "first", "itself")
    }
    for head in range(2):
        rows = [
            (i, row) for item in weights for i, row in enumerate(item[head]) if row.any()
        ]  # fmt: skip
        found["entropy"].append(np.mean([-sum(w * np.log(w) for w in row if w) for _, row in rows]))
        found["equal"].append(np.mean([np.log((row > 0).sum()) for _, row in rows]))
        found["largest"].append(np.mean([row.max() for _, row in rows]))
        found["first"].append(np.mean([row[0] for _, row in rows]))
        found["itself"].append(np.mean([row[i] for i, row in rows if i < len(row)]))
    return {name: np.array(values) for name, values in found.items()}


def recorded(layer: L.MultiHeadAttention, inputs: Any, **options: Any) -> dict[str, Array]:
    monitor = AttentionMonitor(max_queries=10**6, min_evenness=0)
    monitor.record(layer, *inputs, **options)
    return {name: rows[0] for name, rows in monitor.history[""].items()}


CASES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"causal": True, "rotary": True, "qk_norm": "rms"}, {}),
    ({"num_kv_heads": 1, "alibi": True}, {"align": "upper_left", "window": (3, 1)}),
    ({"sink": True, "softcap": 3.0}, {"kv_lengths": [11, 7, 1, 0]}),
    ({"causal": True}, {"q_lengths": [5, 11, 0, 2], "kv_lengths": [5, 11, 0, 2],
                        "align": "lower_right"}),
    ({}, {"mask": RNG.random((4, 1, 11, 11)) < 0.5, "bias": RNG.standard_normal((11, 11))}),
]  # fmt: skip


@pytest.mark.parametrize(("made", "options"), CASES, ids=str)
@pytest.mark.parametrize("piece", [1 << 20, 300])
def test_statistics_are_those_of_the_dense_weights(
    made: dict[str, Any], options: dict[str, Any], piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_attention_statistics, "_PIECE", piece)
    layer = attention(**made)
    exact, found = dense(layer, (X,), **options), recorded(layer, (X,), **options)
    np.testing.assert_allclose(found["entropy"], exact["entropy"], rtol=1e-10)
    np.testing.assert_allclose(found["evenness"], exact["entropy"] / exact["equal"], rtol=1e-10)
    np.testing.assert_allclose(found["largest_weight"], exact["largest"], rtol=1e-10)
    np.testing.assert_allclose(found["first_token"], exact["first"], rtol=1e-10)
    np.testing.assert_allclose(found["itself"], exact["itself"], rtol=1e-10)


def test_the_largest_score_is_that_before_the_softmax() -> None:
    layer = attention(causal=True)
    q, k = (X @ layer.in_proj_weight[part : part + 8].T for part in (0, 8))
    for head in range(2):
        of_head = slice(4 * head, 4 * head + 4)
        score = q[..., of_head] @ k[..., of_head].swapaxes(1, 2) / 2
        exact = score[:, np.tri(11, dtype=bool)].max()
        np.testing.assert_allclose(recorded(layer, (X,))["largest_score"][head], exact)


def test_kept_keys_alone_have_weight_with_top_k() -> None:
    layer = attention(top_k=3)
    exact, found = dense(layer, (X,)), recorded(layer, (X,))
    np.testing.assert_allclose(found["entropy"], exact["entropy"], rtol=1e-10)
    np.testing.assert_allclose(found["largest_weight"], exact["largest"], rtol=1e-10)


@pytest.mark.parametrize("sink", [False, True])
@pytest.mark.parametrize("top_k", [None, 2])
def test_weights_are_those_within_an_adaptive_span(sink: bool, top_k: int | None) -> None:
    layer = attention(adaptive_span=6, span_ramp=2.5, causal=True, sink=sink, top_k=top_k)
    layer.span[...] = [0.1, 0.7]
    if sink:
        layer.sink[...] = [0.5, 1.0]
    q, k = (X @ layer.in_proj_weight[part : part + 8].T for part in (0, 8))
    found = recorded(layer, (X,))
    distance = np.subtract.outer(np.arange(11), np.arange(11))
    for head, z in enumerate((0.6, 4.2)):
        of_head = slice(4 * head, 4 * head + 4)
        score = q[..., of_head] @ k[..., of_head].swapaxes(1, 2) / 2
        m = np.where(distance >= 0, np.clip((2.5 + z - distance) / 2.5, 0, 1), 0)
        weights = m * np.exp(score)
        if top_k is not None:  # the 2 largest
            weights[weights < np.sort(weights, -1)[..., [-top_k]]] = 0
        extra = np.exp(layer.sink[head]) if sink else 0
        weights /= weights.sum(-1, keepdims=True) + extra
        entropy = -sum(w * np.log(w) for w in weights.ravel() if w) / (4 * 11)
        np.testing.assert_allclose(found["entropy"][head], entropy)
        np.testing.assert_allclose(found["largest_weight"][head], weights.max(-1).mean())


def test_attention_to_another_sequence_has_no_itself() -> None:
    layer, memory = attention(), RNG.standard_normal((4, 6, 8))
    exact, found = dense(layer, (X, memory)), recorded(layer, (X, memory))
    np.testing.assert_allclose(found["entropy"], exact["entropy"], rtol=1e-10)
    assert np.isnan(found["itself"]).all()


def test_the_position_of_a_query_counts_what_precedes_it() -> None:
    query, key = RNG.standard_normal((2, 3, 2, 4)), RNG.standard_normal((2, 7, 2, 4))
    score = np.einsum("blhd,bmhd->bhlm", query, key) / 2
    weights = np.exp(score) / np.exp(score).sum(-1, keepdims=True)
    for align, offsets in (("lower_right", (4, 4)), (2, (2, 2)), (np.array([1, 4]), (1, 4))):
        options = {"layout": "blhd", "align": align}
        found = attention_statistics([(query, key, options, True)], 100)
        exact = np.mean([[[weights[b, h, i, i + offsets[b]] for i in range(3)] for b in range(2)]
                         for h in range(2)], (1, 2))  # fmt: skip
        np.testing.assert_allclose(found.itself, exact)


def test_some_queries_stand_for_all() -> None:
    layer, seen = attention(), []
    monitor = AttentionMonitor(max_queries=12)  # 3 of each item: the first, the middle, the last
    monitor.record(layer, X)
    _, weights = layer(X, return_weights=True)
    seen = weights[:, :, [0, 5, 10]].max(-1).mean((0, 2))
    np.testing.assert_allclose(monitor.history[""]["largest_weight"][0], seen)


def test_memory_is_linear_in_the_length() -> None:
    layer = L.MultiHeadAttention(8, 2, rng=0)
    x = RNG.standard_normal((1, 4096, 8)).astype(np.float32)  # weights: 134 MB
    monitor = AttentionMonitor(max_queries=4096)
    monitor.record(layer, x[:, :100])
    tracemalloc.start()
    monitor.record(layer, x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40e6


# --- in fit


def test_it_looks_at_every_nth_step() -> None:
    model, monitor = classifier(), AttentionMonitor(every=3)
    train(model, monitor)
    assert monitor.steps == [0, 3, 6]
    train(model, monitor, 3)
    assert monitor.steps == [0, 3, 6, 9]
    assert set(monitor.history) == {"0"}
    assert {len(rows) for rows in monitor.history["0"].values()} == {4}
    assert not taps_of(model[0])


def test_weights_are_those_before_dropout_and_noise() -> None:
    probe = RNG.standard_normal((3, 5, 8)).astype(np.float32)
    model = classifier(dropout=0.5, key_dropout=0.5, gumbel_temperature=0.5)
    monitors = AttentionMonitor(every=1), AttentionMonitor(every=1, probe=probe)
    x = np.tile(probe, (2, 1, 1))
    model.fit(x, x[:, 0, :1], batch_size=3, shuffle=False, callbacks=list(monitors[:1]),
              verbose=False)  # fmt: skip
    again = classifier(dropout=0.5, key_dropout=0.5, gumbel_temperature=0.5)
    again.fit(x, x[:, 0, :1], batch_size=3, shuffle=False, callbacks=list(monitors[1:]),
              verbose=False)  # fmt: skip
    for name, rows in monitors[0].history["0"].items():
        np.testing.assert_allclose(rows[0], monitors[1].history["0"][name][0], rtol=1e-5)


def test_training_is_the_same_bits_with_and_without() -> None:
    x = RNG.standard_normal((12, 5, 8)).astype(np.float32)
    states = []
    for callbacks in (None, AttentionMonitor(every=1), AttentionMonitor(every=2, probe=x)):
        model = classifier(dropout=0.3)
        model.fit(x, x[:, 0, :1], epochs=2, batch_size=3, callbacks=callbacks, verbose=False, rng=0)
        states.append(model.state_dict())
    for state in states[1:]:
        for name, value in states[0].items():
            np.testing.assert_array_equal(state[name], value)


def test_validation_is_not_recorded_and_copies_are_none() -> None:
    x = RNG.standard_normal((4, 5, 8)).astype(np.float32)
    kept: list[Any] = []

    class Copy(Callback):
        def on_batch_end(self, batch: int, logs: Any = None) -> None:
            copy = pickle.loads(pickle.dumps(self.model))
            kept.append((taps_of(copy[0]), taps_of(self.model[0])))

    histories = []
    for validation in (None, (10 * x, x[:, 0, :1])):
        monitor = AttentionMonitor(every=1)
        classifier().fit(
            x, x[:, 0, :1], epochs=3, batch_size=2, shuffle=False, verbose=False,
            validation_data=validation, callbacks=[monitor, Copy()],
        )  # fmt: skip
        histories.append(monitor.history["0"]["entropy"])
        assert monitor.steps == [0, 1, 2, 3, 4, 5]
    np.testing.assert_array_equal(*histories)
    assert all(of_model and not of_copy for of_copy, of_model in kept[:1])
    assert not any(of_copy for of_copy, _ in kept)


def test_a_probe_is_looked_at_once_a_step() -> None:
    model, monitor = classifier(), AttentionMonitor(every=2, probe=X.astype(np.float32))
    for _ in range(2):
        train(model, monitor, 4)
    assert monitor.steps == [0, 2, 4, 6, 8]


def test_it_lets_go_of_the_layers_when_fit_fails() -> None:
    model, monitor = classifier(), AttentionMonitor(every=1)
    x = RNG.standard_normal((4, 5, 8)).astype(np.float32)
    x[2:] = np.nan
    with pytest.raises(FloatingPointError):
        model.fit(x, np.ones((4, 1)), batch_size=2, shuffle=False, callbacks=monitor, verbose=False)
    assert monitor.steps == [0, 1]  # with what the step that failed has seen
    assert not taps_of(model[0])
    with pytest.raises(ValueError, match="query"):
        monitor.record(model[0], x[..., :3])
    assert not taps_of(model[0])


def test_layers_are_chosen_by_name() -> None:
    model = L.Transformer(9, 9, 8, 2, 2, 16, rng=0)
    inputs = [[1, 2, 3]], [[4, 5]]
    monitor = AttentionMonitor()
    monitor.record(model, *inputs)
    assert list(monitor.history) == [
        f"{place}.layers.{i}.{name}" for place, names in
        (("encoder", ["self_attn"]), ("decoder", ["self_attn", "multihead_attn"]))
        for i in range(2) for name in names
    ]  # fmt: skip
    chosen = AttentionMonitor("decoder.layers.1.multihead_attn")
    chosen.record(model, *inputs)
    chosen.record(model, *inputs)
    assert list(chosen.history) == ["decoder.layers.1.multihead_attn"]
    assert chosen.steps == [0, 1]


def test_every_head_is_written_for_tensorboard() -> None:
    written: dict[tuple[str, int], float] = {}

    class Writer:
        def add_scalar(self, tag: str, value: float, step: int) -> None:
            written[tag, step] = value

    model, monitor = classifier(), AttentionMonitor(every=3, writer=Writer())
    train(model, monitor)
    assert len(written) == 3 * 6 * 2
    assert written["0/entropy/1", 3] == monitor.history["0"]["entropy"][1][1]


@pytest.mark.peer
@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of the two libraries
def test_what_tensorboard_itself_reads_is_the_history(tmp_path: Path) -> None:
    writers = pytest.importorskip("tensorboardX")
    readers = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with writers.SummaryWriter(str(tmp_path)) as writer:
        monitor = AttentionMonitor(every=3, writer=writer)
        train(classifier(), monitor)
    events = readers.EventAccumulator(str(tmp_path), size_guidance={"scalars": 0})
    events.Reload()
    assert len(events.Tags()["scalars"]) == 6 * 2
    for statistic, rows in monitor.history["0"].items():
        for head, expected in enumerate(np.array(rows).T):
            scalars = events.Scalars(f"0/{statistic}/{head}")
            assert [one.step for one in scalars] == monitor.steps == [0, 3, 6]
            np.testing.assert_array_equal([one.value for one in scalars], expected.astype("f"))


# --- warnings


def test_it_warns_once_where_weights_collapse_and_scores_explode() -> None:
    model, monitor = classifier(), AttentionMonitor(every=3)
    model[0].in_proj_weight *= 60
    model.optimizer.lr = 0.0
    with pytest.warns(UserWarning, match="at step 0") as caught:
        train(model, monitor)
    messages = [str(one.message) for one in caught]
    assert [finding.message for finding in monitor.findings] == messages
    assert len(messages) == 2
    assert messages[0].startswith("the weights of '0' collapse at step 0: the mean entropy of its ")
    assert messages[1].startswith("the scores of '0' explode at step 0: the largest, of head ")
    for message in messages:
        assert 'try qk_norm="rms" or "l2", a lower learning rate' in message
    assert [finding.step for finding in monitor.findings] == [0, 0]
    assert monitor.findings[1].layer == "0"
    largest = monitor.history["0"]["largest_score"][0]
    assert monitor.findings[1].head == largest.argmax()


def test_it_does_not_warn_where_all_is_well_or_where_it_should_not() -> None:
    train(classifier(), AttentionMonitor(every=1))
    model = classifier()
    model[0].in_proj_weight *= 60
    model.optimizer.lr = 0.0
    train(model, AttentionMonitor(every=1, min_evenness=0.0, max_score=1e9))


@pytest.mark.parametrize(
    ("layers", "model", "message"),
    [
        ("attend", classifier(), r"layers must be among \['0'\]: got 'attend'"),
        (["0", "1"], classifier(), r"layers must be among \['0'\]: got '1'"),
        (None, L.Sequential(L.Linear(8, 1)),
         "model must have a MultiHeadAttention for AttentionMonitor: it has none"),
        ("0", L.Encoder(1, 8, 2, 16, mixer="linear"),
         "model must have a MultiHeadAttention for AttentionMonitor: it has none"),
    ],
    ids=["unknown", "pooling", "none", "linear"],
)  # fmt: skip
def test_layers_that_do_not_exist_are_refused(layers: Any, model: Any, message: str) -> None:
    monitor = AttentionMonitor(layers)
    with pytest.raises(ValueError, match=rf"\A{message}\Z"):
        monitor.record(model, X)
    with pytest.raises(ValueError, match=rf"\A{message}\Z"):
        monitor.on_begin(model)  # before the first step of fit


def test_an_empty_batch_has_no_statistics() -> None:
    monitor = AttentionMonitor()
    monitor.record(attention(), X[:0])
    assert all(np.isnan(rows[0]).all() for rows in monitor.history[""].values())


# --- picture


def test_a_picture_is_returned_and_not_shown() -> None:
    pytest.importorskip("matplotlib")
    model, monitor = classifier(), AttentionMonitor(every=2)
    train(model, monitor)
    axes = monitor.plot("largest_weight")
    (line,) = axes.get_lines()
    np.testing.assert_array_equal(line.get_xdata(), [0, 2, 4, 6])
    rows = np.array(monitor.history["0"]["largest_weight"])
    np.testing.assert_allclose(line.get_ydata(), rows.mean(1))
    assert axes.get_ylabel() == "largest weight"
    assert monitor.plot(ax=axes) is axes
    with pytest.raises(ValueError, match=r"statistic must be 'entropy' or 'evenness'.*got 'size'"):
        monitor.plot("size")
    code = (
        "import sys, warnings; from heedful.training import AttentionMonitor\n"
        "AttentionMonitor().plot(); assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
