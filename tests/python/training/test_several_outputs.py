"""Models with several outputs: predict puts each together, losses of one output refuse them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest

from heedful.layers import Layer, Linear
from heedful.training import SGD


class Named(NamedTuple):
    score: Any
    rows: Any


# how outputs a (N, 2) and b (N, 5, 3) may be given
FORMS: dict[str, Any] = {
    "tuple": lambda a, b: (a, b),
    "list": lambda a, b: [a, b],
    "dict": lambda a, b: {"a": a, "b": b},
    "named": Named,
    "one": lambda a, b: (a,),
    "nested": lambda a, b: {"a": (a, [b, None]), "n": Named(b, {})},
    "alone": lambda a, b: b,
}


class Two(Layer):
    def __init__(self, form: Any) -> None:
        self.a, self.b, self.form = Linear(3, 2, rng=0), Linear(3, 15, rng=1), form

    def compute(self, mode: Any, x: Any) -> Any:
        a, back_a = self.a.compute(mode, x)
        b, back_b = self.b.compute(mode, x)

        def backward(da: Any, db: Any = None) -> Any:
            dx = back_a(da)
            return dx if db is None else dx + back_b(db.reshape(len(db), 15))

        return self.form(a, b.reshape(len(a), 5, 3)), backward


def assert_same(found: Any, expected: Any) -> None:
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        found, expected = list(found.values()), list(expected.values())
    if isinstance(expected, (tuple, list)):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    elif expected is not None:
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("count", [0, 1, 7, 64, 67])
@pytest.mark.parametrize("way", ["array", "generator"])
def test_each_output_is_concatenated(form: str, count: int, way: str, rng: Any) -> None:
    x = rng.standard_normal((count, 3)).astype(np.float32)
    model = Two(FORMS[form])
    if way == "array":
        assert_same(model.predict(x), model(x))
        assert_same(model.predict(x, batch_size=5), model(x))
    elif count:
        batches = (x[first : first + 5] for first in range(0, count, 5))
        assert_same(model.predict(batches), model(x))


@pytest.mark.parametrize(
    ("form", "kind", "message"),
    [
        (lambda a, b: a.sum(), ValueError, r"output has shape \(\) for a batch of 32"),
        (lambda a, b: (a, a.sum()), ValueError, r"output\[1\] has shape \(\) for a batch of 32"),
        (lambda a, b: (a, 3.0), ValueError, r"output\[1\] has shape \(\) for a batch of 32"),
        (lambda a, b: {"a": [a.T]}, ValueError, r"output\['a'\]\[0\] has shape \(2, 32\)"),
        (lambda a, b: b.swapaxes(0, 1), ValueError, r"output has shape \(5, 32, 3\)"),
        (lambda a, b: (a, object()), TypeError, r"output\[1\] is <object object"),
        (lambda a, b: (a, b[:, : len(a) % 5]), ValueError,
         r"same shape for all examples: output\[1\] has \(1, 3\) and \(2, 3\) per example"),
        (lambda a, b: (a, b) if len(a) == 32 else a, ValueError, "alike in all batches: output is"),
        (lambda a, b: {"a": a, "b" * (len(a) % 5): b}, ValueError, "alike in all batches: output"),
        (lambda a, b: (a, None if len(a) == 32 else b), ValueError,
         r"alike .*output\[1\] is not"),
    ],
)  # fmt: skip
def test_outputs_that_cannot_be_concatenated_are_reported(
    form: Any, kind: Any, message: str
) -> None:
    with pytest.raises(kind, match=message):
        Two(form).predict(np.ones((48, 3)) if "(1, 3)" not in message else np.ones((33, 3)))


def squares(target: Any, outputs: Any) -> Any:
    a, b = outputs
    loss = np.mean((a - target) ** 2) + np.mean(b**2)
    return loss, (2 * (a - target) / a.size, 2 * b / b.size)


def test_a_loss_of_one_s_own_gets_all_outputs(rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((64, 3)), rng.standard_normal((64, 2))
    model = Two(FORMS["tuple"])
    seen = []

    def metric(target: Any, outputs: Any) -> float:
        seen.append(len(outputs))
        return float(np.mean(np.abs(outputs[0] - target)))

    model.compile(SGD(lr=0.1), squares, [metric])
    losses = model.fit(x, y, epochs=9, validation_data=(x[:5], y[:5]), verbose=False, rng=0)["loss"]
    assert losses[-1] < 0.7 * losses[0]
    found = model.evaluate(x, y, batch_size=64)
    assert found.loss == pytest.approx(squares(y, model(x))[0])
    assert found.metric == pytest.approx(np.abs(model(x)[0] - y).mean())
    assert set(seen) == {2}
    model.compile(SGD(lr=0.1), lambda t, o: (squares(t, o)[0], (squares(t, o)[1][0], None)))
    before = model.b.weight.copy()
    model.fit(x, y, verbose=False)
    np.testing.assert_array_equal(model.b.weight, before)


def test_losses_and_metrics_of_one_output_refuse_several(rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((40, 3)), rng.standard_normal((40, 2))
    for form, shown in (("tuple", "a tuple of 2"), ("list", "a list of 2"), ("dict", "a dict of")):
        model = Two(FORMS[form])
        for loss in ("mse", "mae", "huber", "binary_crossentropy", "categorical_crossentropy"):
            model.compile("sgd", loss)
            for call in (lambda m: m.fit(x, y, verbose=False), lambda m: m.evaluate(x, y)):
                with pytest.raises(TypeError, match=f"is for a model with one output.* {shown}"):
                    call(model)
    model = Two(FORMS["tuple"])
    model.compile("sgd", squares, ["mae"])
    with pytest.raises(TypeError, match="the metric mae is for a model with one output"):
        model.fit(x, y, verbose=False)
    model.compile("sgd", lambda t, o: (1.0, o[0]))
    with pytest.raises(ValueError, match="loss must return a gradient for each of 2 outputs"):
        model.fit(x, y, verbose=False)
    model.compile("sgd", lambda t, o: (1.0, (o[0], o[0])))
    with pytest.raises(ValueError, match=r"of the shape of the prediction, \(32, 5, 3\): got"):
        model.fit(x, y, verbose=False)
    assert model.optimizer.steps == 0


class Loader:
    """Can be iterated again; batches as PyTorch's DataLoader gives them."""

    def __init__(self, batches: Any) -> None:
        self.given = batches

    def __iter__(self) -> Iterator[Any]:
        return iter(self.given)


@pytest.mark.parametrize(
    "form",
    [
        lambda x, y: x,
        lambda x, y: x.tolist(),
        lambda x, y: (x,),
        lambda x, y: [x],
        lambda x, y: (x, y),
        lambda x, y: [x, y],
        lambda x, y: (x, y, np.ones(len(x))),
        lambda x, y: {"x": x},
        lambda x, y: ({"x": x}, y),
        lambda x, y: ((x,), y),
    ],
)
def test_predict_takes_batches_as_they_come(form: Any, rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((13, 3)), rng.standard_normal((13, 2))
    model = Two(FORMS["alone"])
    batches = [form(x[first : first + 5], y[first : first + 5]) for first in (0, 5, 10)]
    for given in (Loader(batches), iter(batches), (batch for batch in batches)):
        assert_same(model.predict(given), model(x))
    if isinstance(batches[0], (tuple, dict)) or (len(batches[0]) < 3):
        assert_same(model.predict(batches), model(x))


def test_predict_ends_after_so_many_batches(rng: np.random.Generator) -> None:
    x = rng.standard_normal((13, 3))
    model = Two(FORMS["alone"])

    def endless() -> Iterator[Any]:
        while True:
            yield x[:5]

    assert_same(model.predict(endless(), steps=2), model(np.concatenate([x[:5], x[:5]])))
    assert_same(model.predict(x, batch_size=5, steps=2), model(x[:10]))
    assert_same(model.predict(x, batch_size=5, steps=9), model(x))


def test_what_numpy_makes_an_array_of_is_one(rng: np.random.Generator) -> None:
    x = rng.standard_normal((4, 3))
    model = Two(FORMS["alone"])
    rows = [tuple(row) for row in x.tolist()]
    for given in (x.tolist(), rows, list(x), deque(x), memoryview(x)):
        assert_same(model.predict(given), model(x))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (lambda x: iter(()), "x must yield at least one batch: got none"),
        (lambda x: iter([(x, x, x, x)]), r"batch 1 must be x, \(x,\), \(x, y\) or"),
        (lambda x: iter([x, 3.0]), "batch 2, x must be arrays of examples"),
        (lambda x: iter([{}]), "batch 1, x must be arrays of examples"),
    ],
)
def test_batches_that_are_none_are_refused(x: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Two(FORMS["alone"]).predict(x(np.ones((4, 3))))


def test_predict_takes_pytorch_s_loader(rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch")
    data = pytest.importorskip("torch.utils.data")
    x = rng.standard_normal((13, 3)).astype(np.float32)
    model = Two(FORMS["tuple"])
    for tensors in ([torch.tensor(x)], [torch.tensor(x), torch.zeros(13)]):
        loader = data.DataLoader(data.TensorDataset(*tensors), batch_size=5)
        assert_same(model.predict(loader), model(x))
        assert_same(model.predict(list(loader)), model(x))
