"""The data that fit takes: arrays, fractions of them, and iterables of batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from small_training import network, points

from heedful.layers import Dense, Linear, Sequential, Transformer
from heedful.training import MeanSquaredError, SparseCategoricalCrossEntropy


class Loader:
    """Batches that can be iterated again."""

    def __init__(self, *arrays: Any, size: int = 32) -> None:
        self.arrays, self.size, self.times = arrays, size, 0

    def __len__(self) -> int:
        return -(-len(self.arrays[0]) // self.size)

    def __iter__(self) -> Iterator[Any]:
        self.times += 1
        for first in range(0, len(self.arrays[0]), self.size):
            yield [array[first : first + self.size] for array in self.arrays]


def assert_same_model(one: Any, other: Any) -> None:
    for name, array in one.parameters().items():
        np.testing.assert_array_equal(array, other.parameters()[name])


def test_the_last_rows_are_for_validation(rng: np.random.Generator) -> None:
    x, y = points(rng)
    weight = rng.random(120)
    one, other = network(0.3), network(0.3)
    one.fit(x, y, validation_split=0.2, sample_weight=weight, epochs=2, verbose=False, rng=3)
    other.fit(x[:96], y[:96], sample_weight=weight[:96], epochs=2, verbose=False, rng=3,
              validation_data=(x[96:], y[96:], weight[96:]))  # fmt: skip
    assert one.history.history == other.history.history
    assert_same_model(one, other)
    named = Sequential(Linear(4, 1, rng=0))
    named.compile("sgd", "mse")
    named.fit({"x": x}, y, validation_split=0.25, verbose=False)
    assert len(named.history["val_loss"]) == 1


@pytest.mark.parametrize("kind", ["loader", "list", "generator", "weights"])
def test_batches_are_trained_on_in_order(kind: str, rng: np.random.Generator) -> None:
    x, y = points(rng)
    one, other = network(), network()
    options: Any = {"sample_weight": rng.random(120)} if kind == "weights" else {}
    one.fit(x, y, epochs=2, shuffle=False, verbose=False, validation_data=(x, y), **options)
    loader = Loader(x, y, *options.values())
    if kind == "generator":
        for _ in range(2):
            other.fit(iter(loader), validation_data=iter(loader), verbose=False)
    else:
        batches = list(loader) if kind == "list" else loader
        valid = Loader(x, y)
        other.fit(batches, epochs=2, validation_data=valid, verbose=False)
        assert valid.times == 2
        if kind != "list":
            assert loader.times == 2
    assert one.history.history == other.history.history
    assert_same_model(one, other)
    assert other.evaluate(Loader(x, y)) == other.evaluate(x, y)


def test_batches_may_have_several_inputs(rng: np.random.Generator) -> None:
    source, target = rng.integers(3, 9, (40, 5)), rng.integers(3, 9, (40, 6))
    models = []
    for form in (tuple, dict, None):
        model = Transformer(9, 9, 8, 2, 1, 16, rng=0)
        model.compile("adam", SparseCategoricalCrossEntropy())
        inputs: Any = {"source": source, "target": target[:, :-1]}
        if form is None:
            model.fit(inputs, target[:, 1:], batch_size=40, shuffle=False, verbose=False, rng=0)
        else:
            x = inputs if form is dict else tuple(inputs.values())
            model.fit([(x, target[:, 1:])], verbose=False, rng=0)
        models.append(model)
    assert_same_model(models[0], models[2])
    assert_same_model(models[1], models[2])


def test_pytorch_s_loader_gives_batches(rng: np.random.Generator) -> None:
    data = pytest.importorskip("torch.utils.data")
    torch = pytest.importorskip("torch")
    x, y = points(rng)
    one, other = network(), network()
    one.fit(x, y, epochs=2, shuffle=False, verbose=False)
    pairs = data.TensorDataset(torch.from_numpy(x), torch.from_numpy(y))
    other.fit(data.DataLoader(pairs, batch_size=32), epochs=2, verbose=False)
    assert_same_model(one, other)
    tensors = network()
    tensors.fit(torch.from_numpy(x), torch.from_numpy(y), epochs=2, shuffle=False, verbose=False)
    assert_same_model(one, tensors)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, x, y: m.fit(x[:0], y[:0]), "x must have at least one example: got none"),
        (lambda m, x, y: m.evaluate(x[:0], y[:0]), "x must have at least one example: got none"),
        (lambda m, x, y: m.fit(x, y, validation_data=(x[:0], y[:0])),
         "validation x must have at least one example"),
        (lambda m, x, y: m.fit(iter(())), "x must yield at least one batch: got none"),
        (lambda m, x, y: m.evaluate([]), "y must be given, unless x yields batches"),
        (lambda m, x, y: m.fit(x), r"y must be given, unless x yields batches \(x, y\)"),
        (lambda m, x, y: m.fit((x, y)), r"y must be given, unless x yields batches \(x, y\)"),
        (lambda m, x, y: m.fit(iter([(x, y)]), epochs=2),
         "epochs must be 1 for batches of an iterator, .* got 2"),
        (lambda m, x, y: m.fit(x, y, validation_data=iter([(x, y)]), epochs=2),
         "epochs must be 1 for validation batches of an iterator"),
        (lambda m, x, y: m.fit(iter([x])), r"batch 1 must be \(x, y\) or"),
        (lambda m, x, y: m.fit(iter([(x, y), (x, y[1:])])),
         "batch 2, y must have one target for each of 120"),
        (lambda m, x, y: m.fit(iter([(x, y), (x, y + 5)])), r"got \d at batch 2, y\[0\]"),
        (lambda m, x, y: m.fit(iter([(x, y)]), sample_weight=y), "must be part of the batches"),
        (lambda m, x, y: m.fit(iter([(x, y)]), validation_split=0.1),
         "validation_split needs arrays"),
        (lambda m, x, y: m.fit(x, y, validation_split=0.1, validation_data=(x, y)),
         "validation_split must be left out where"),
        (lambda m, x, y: m.fit(x, y, validation_split=1.5), "must lie between 0 and 1"),
        (lambda m, x, y: m.fit(x, y, validation_split=0.999), "leave examples on both sides"),
        (lambda m, x, y: m.fit(x, y, verbose=3), "verbose must be True, False, 0, 1, 2 or"),
    ],
)  # fmt: skip
def test_is_refused_in_one_sentence(call: Any, message: str, rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match=message):
        call(network(), *points(rng))


def test_no_example_has_no_prediction_but_a_shape() -> None:
    assert network().predict(np.ones((0, 4))).shape == (0, 1)


BAD = np.zeros(256, int)
BAD[200] = 3
NAMES = np.array(["cat", "dog"] * 128)


@pytest.mark.parametrize(
    ("loss", "y", "kind", "message"),
    [
        ("sparse_categorical_crossentropy", BAD, ValueError,
         r"target must lie in \[0, 3\): got 3 at y\[200\]"),
        ("sparse_categorical_crossentropy", -BAD, ValueError, r"got -3 at y\[200\]"),
        ("sparse_categorical_crossentropy", np.where(BAD, np.nan, 1), TypeError,
         r"target must be integers, the classes: got nan at y\[200\]"),
        ("sparse_categorical_crossentropy", BAD / 2, TypeError, r"got 1\.5 at y\[200\]"),
        ("sparse_categorical_crossentropy", np.eye(3)[BAD % 3], ValueError,
         "one-hot targets need the loss categorical_crossentropy"),
        ("binary_crossentropy", BAD % 3, ValueError,
         "one label of several classes needs the loss sparse_categorical_crossentropy"),
        ("sparse_categorical_crossentropy", NAMES, TypeError,
         r"numpy\.unique\(y, return_inverse=True\)"),
        ("categorical_crossentropy", BAD % 3, ValueError,
         "classes as integers need the loss sparse_categorical_crossentropy"),
        ("categorical_crossentropy", np.eye(4)[BAD][:, :3], ValueError,
         r"target must sum to 1 over the classes: got 0 at y\[200\]"),
        ("categorical_crossentropy", np.eye(3)[BAD % 3] - np.eye(4)[BAD][:, 3:], ValueError,
         r"target must not be negative: got -1 at y\[200\]"),
    ],
)  # fmt: skip
def test_a_bad_target_is_found_before_the_first_step(
    loss: str, y: Any, kind: Any, message: str, rng: np.random.Generator
) -> None:
    x = rng.standard_normal((256, 6)).astype(np.float32)
    model = Sequential(Linear(6, 3, rng=0))
    model.compile("adam", loss)
    before = model.state_dict()
    with pytest.raises(kind, match=message):
        model.fit(x, y, verbose=False)
    assert model.optimizer.steps == 0
    for name, array in model.parameters().items():
        np.testing.assert_array_equal(array, before[name])
    good = np.eye(3)[BAD % 3] if loss.startswith("cat") else BAD % 3
    with pytest.raises(kind, match=message.replace("at y", "at validation y")):
        model.fit(x, good, validation_data=(x, y), verbose=False)
    if kind is ValueError and "at" in message.split():
        assert model.optimizer.steps == 0
    with pytest.raises(kind, match=message):
        model.evaluate(x, y)


@pytest.mark.parametrize(
    ("y", "kind", "message"),
    [
        (BAD, ValueError, r"target must lie in \[0, 1\]: got 3 at y\[200\]"),
        (1 - BAD * 2 // 3, ValueError,
         r"got -1 at y\[200\]; labels -1 and 1 become 0 and 1 by `y = \(y \+ 1\) / 2`"),
        (NAMES, TypeError, r"numpy\.unique\(y, return_inverse=True\)"),
    ],
)  # fmt: skip
def test_a_bad_bit_is_found_before_the_first_step(
    y: Any, kind: Any, message: str, rng: np.random.Generator
) -> None:
    x = rng.standard_normal((256, 4)).astype(np.float32)
    model = network()
    with pytest.raises(kind, match=message):
        model.fit(x, y, verbose=False)
    assert model.optimizer.steps == 0


def test_one_output_has_no_classes(rng: np.random.Generator) -> None:
    x, y = points(rng)
    model = Sequential(Dense(1, rng=0))
    model.compile("adam", "sparse_categorical_crossentropy", None)
    with pytest.raises(ValueError, match="one output needs the loss binary_crossentropy"):
        model.fit(x, y, verbose=False)
    with pytest.raises(ValueError, match="a softmax over 1 unit, which is always 1"):
        Sequential(Dense(1, "softmax")).compile("adam", "binary_crossentropy")


def test_a_loss_must_return_its_gradient(rng: np.random.Generator) -> None:
    x, y = points(rng)
    model = Sequential(Linear(4, 1, rng=0))
    model.compile("sgd", lambda target, prediction: float(np.mean(prediction)))
    with pytest.raises(TypeError, match=r"loss must return \(loss, its gradient by the predict"):
        model.fit(x, y, verbose=False)
    model.compile("sgd", lambda target, prediction: (0.5, prediction[:, 0]))
    with pytest.raises(ValueError, match=r"a gradient of the shape of the prediction, \(32, 1\)"):
        model.fit(x, y, verbose=False)
    for given in (MeanSquaredError, SparseCategoricalCrossEntropy):
        with pytest.raises(TypeError, match=rf"not its class: write {given.__name__}\(\)"):
            model.compile("adam", given)


@pytest.mark.parametrize(
    ("verbose", "lines"), [(True, 1), (False, 0), (0, 0), (1, 1), (2, 1), ("auto", 1)]
)
def test_verbose_takes_keras_s_values(
    verbose: Any, lines: int, rng: np.random.Generator, capsys: Any
) -> None:
    x, y = points(rng)
    model = network()
    model.fit(x, y, verbose=verbose)
    model.evaluate(x, y, verbose=verbose)
    model.predict(x, verbose=verbose)
    shown = capsys.readouterr().out
    assert len(shown.splitlines()) == 2 * lines
    assert ("evaluate  loss 0." in shown) == bool(lines)
