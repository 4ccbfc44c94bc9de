"""Dense before its first call: settings of parameters that do not exist yet are kept."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest
from process import run

from heedful.layers import Dense, LayerNorm, LayerNormalization, Linear, ReLU, Sequential
from heedful.training import load_training, load_weights, save_training, save_weights

X = np.arange(12, dtype=np.float32).reshape(4, 3)
Y = np.ones((4, 1), np.float32)


def model(seed: int = 0) -> Sequential:
    return Sequential(Dense(8, activation="tanh", rng=seed), Dense(1, rng=seed))


def built(seed: int = 0) -> Sequential:
    layers = model(seed)
    layers(X)
    return layers


def changed(layers: Sequential) -> set[str]:
    """The parameters that a training changes."""
    before = built().state_dict()
    layers.compile("sgd", "mean_squared_error")
    layers.fit(X, Y, epochs=1, verbose=False, rng=0)
    after = layers.state_dict()
    return {name for name in before if not np.array_equal(before[name], after[name])}


ALL = {"0.linear.weight", "0.linear.bias", "1.linear.weight", "1.linear.bias"}


@pytest.mark.parametrize(
    ("freeze", "left"),
    [
        (lambda m: m.freeze(), set()),
        (lambda m: m.freeze("0.*"), {"1.linear.weight", "1.linear.bias"}),
        (lambda m: m.freeze("*weight"), {"0.linear.bias", "1.linear.bias"}),
        (lambda m: m[1].freeze(), {"0.linear.weight", "0.linear.bias"}),
        (lambda m: setattr(m, "trainable", False), set()),
        (lambda m: setattr(m[0], "trainable", False), {"1.linear.weight", "1.linear.bias"}),
        (lambda m: (m.freeze(), m.unfreeze("1.*")), {"1.linear.weight", "1.linear.bias"}),
        (lambda m: (setattr(m, "trainable", False), setattr(m, "trainable", True)), ALL),
    ],
)
@pytest.mark.parametrize("make", [model, built])
def test_frozen_parameters_are_not_trained_built_or_not(
    make: Any, freeze: Any, left: set[str]
) -> None:
    layers = make()
    freeze(layers)
    assert changed(layers) == left


def test_trainable_is_whether_any_parameter_is() -> None:
    for layers in (model(), built()):
        assert layers.trainable
        layers.freeze("0.*")
        assert layers.trainable
        assert not layers[0].trainable
        layers.freeze("1.*")
        assert not layers.trainable
    with pytest.raises(TypeError, match="trainable must be True or False: got 'no'"):
        layers.trainable = "no"
    with pytest.raises(ValueError, match="names must match a parameter: got 'head"):
        model().freeze("head.*")


def test_a_state_builds_what_it_is_loaded_into(tmp_path: Path) -> None:
    source = built(5)
    save_weights(source, tmp_path / "weights.safetensors")
    by_file, by_state = model(), model()
    assert load_weights(by_file, tmp_path / "weights.safetensors") == ([], [])
    assert by_state.load_state_dict(source.state_dict()) == ([], [])
    for layers in (by_file, by_state):
        np.testing.assert_array_equal(layers(X), source(X))


def test_a_training_resumes_in_a_model_that_was_never_called(tmp_path: Path) -> None:
    def compiled() -> Sequential:
        layers = model()
        layers.compile("adam", "mean_squared_error")
        return layers

    whole = compiled()
    whole.fit(X, Y, epochs=2, batch_size=2, verbose=False, rng=3)
    save_training(whole, tmp_path / "half.safetensors")
    whole.fit(X, Y, epochs=2, batch_size=2, verbose=False)
    later = compiled()
    load_training(later, tmp_path / "half.safetensors")
    later.fit(X, Y, epochs=2, batch_size=2, verbose=False)
    np.testing.assert_array_equal(later(X), whole(X))


def test_what_a_state_says_of_frozen_weights_stays(tmp_path: Path) -> None:
    layers = model()
    layers.freeze("0.*")
    layers.load_state_dict(built().state_dict())
    assert changed(layers) == {"1.linear.weight", "1.linear.bias"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("0.linear.bias"), r"missing 0\.linear\.bias, unexpected nothing"),
        (lambda s: s.update(more=np.ones(3)), "missing nothing, unexpected more"),
        (lambda s: s.update({"0.linear.weight": np.ones((7, 3))}),
         r"0\.linear\.weight must have shape \(8, width\): got \(7, 3\)"),
        (lambda s: s.update({"0.linear.bias": np.ones(3)}),
         r"0\.linear\.bias must have shape \(8,\): got \(3,\)"),
        (lambda s: s.update({"1.linear.weight": [["a"] * 8]}), "must hold real numbers"),
    ],
    ids=["missing", "extra", "units", "bias", "type"],
)  # fmt: skip
def test_a_state_that_does_not_fit_builds_nothing(change: Any, message: str) -> None:
    layers, state = model(), built().state_dict()
    change(state)
    with pytest.raises((ValueError, TypeError), match=message):
        layers.load_state_dict(state)
    assert layers[0].awaited
    assert layers[1].awaited


def test_a_bias_alone_does_not_say_how_wide_the_weight_is() -> None:
    with pytest.raises(ValueError, match=r"0\.linear\.bias cannot be loaded without 0\.linear\.we"):
        model().load_state_dict({"0.linear.bias": np.ones(8)}, strict=False)


def test_nothing_is_saved_or_counted_before_there_is_anything(tmp_path: Path) -> None:
    layers = Sequential(Linear(3, 3), model())
    message = "Dense '1.0' is unbuilt, .* call the model once first"
    with pytest.raises(ValueError, match=message):
        save_weights(layers, tmp_path / "weights.safetensors")
    layers.compile("sgd", "mean_squared_error")
    with pytest.raises(ValueError, match=message):
        save_training(layers, tmp_path / "weights.safetensors")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match=message):
        _ = layers.parameter_count


def test_what_is_shown_says_unbuilt(capsys: pytest.CaptureFixture[str]) -> None:
    layers = model()
    assert "Dense(8, activation='tanh', unbuilt)" in repr(layers)
    assert layers._repr_html_().count("unbuilt") == 5
    layers.summary()
    assert "unbuilt" in capsys.readouterr().out
    layers(X)
    layers.summary()
    lines = capsys.readouterr().out.splitlines()
    assert "unbuilt" not in repr(layers) + layers._repr_html_() + str(lines)
    assert lines[-1].split() == ["all", "41"]
    assert any("weight (8, 3), bias (8,)" in line and line.endswith(" 32") for line in lines)


def test_threads_that_call_at_once_get_one_weight() -> None:
    x = np.ones((5, 300), np.float32)
    for _ in range(20):
        layer, together = Dense(300), Barrier(4)

        def call(_: int, layer: Dense = layer, together: Barrier = together) -> Any:
            together.wait()
            return layer(x)

        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(call, range(4)))
        for y in found:
            np.testing.assert_array_equal(y, found[0])


def test_an_unbuilt_layer_can_be_copied_and_pickled() -> None:
    layer = Dense(4, rng=0)
    layer.freeze()
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        np.testing.assert_array_equal(other(X), Dense(4, rng=0)(X))
        assert not other.trainable


def test_numbers_without_features_build_nothing() -> None:
    layers = Sequential(ReLU(), Dense(1))
    with pytest.raises(
        ValueError, match=r"x must be \(…, width\), .*got \(256,\); .* x\[:, None\]"
    ):
        layers(np.ones(256))
    assert layers(np.ones((256, 1))).shape == (256, 1)


def test_keras_s_norm_is_ours_without_a_width() -> None:
    layer, norm = LayerNormalization(epsilon=1e-5), LayerNorm(3)
    norm.weight[...], norm.bias[...] = [1, 2, 3], [4, 5, 6]
    layer.freeze("*bias")
    state = {f"norm.{name}": array for name, array in norm.state_dict().items()}
    assert layer.load_state_dict(state) == ([], [])
    np.testing.assert_array_equal(layer(X), norm(X))
    assert [own.trainable for _, own in layer.named_parameters()] == [True, False]
    with pytest.raises(ValueError, match=r"arrays of 0 must be of one width: got \[3, 4\]"):
        Sequential(LayerNormalization()).load_state_dict(
            {"0.norm.weight": np.ones(3), "0.norm.bias": np.ones(4)}
        )
    with pytest.raises(ValueError, match="axis must be -1, the last one: got 1"):
        LayerNormalization(1)


def test_a_forked_child_builds_while_its_parent_does() -> None:
    """A lock that a thread of the parent held is not held in the child."""
    done = run(
        """
import os, threading, numpy as np
from heedful.layers import Dense
from heedful.layers.blocks._by_width import _Building
_Building.lock.acquire()
child = os.fork()
if not child:
    Dense(2)(np.ones((1, 3)))
    os._exit(0)
for _ in range(200):
    ended, status = os.waitpid(child, os.WNOHANG)
    if ended:
        break
    time.sleep(0.05)
else:
    os.kill(child, 9)
print(os.waitstatus_to_exitcode(status) if ended else "hangs")
"""
    )
    assert done.strip() == "0"
