"""head_importance: how much the loss of a model depends on each of its heads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from heedful._checks import named, one_of, size
from heedful.base._types import Array
from heedful.layers import Layer
from heedful.layers.attention._feature_importance import without_dropout
from heedful.pruning._attention_layers import attention_layers
from heedful.pruning._gate import Gate
from heedful.training._batches import Batch
from heedful.training._stream import as_data
from heedful.training._trainer import Trainer
from heedful.training.losses._loss import as_loss, call_loss
from heedful.training.losses._probabilities import ends_in_probabilities
from heedful.training.metrics._sums import Mean
from heedful.training.metrics._totals import Totals


def head_importance(
    model: Layer,
    x: Any,
    y: Any = None,
    *,
    loss: Any = None,
    method: str = "gradient",
    sample_weight: Any = None,
    batch_size: int = 32,
) -> dict[str, Array]:
    """How much the loss depends on each head of each attention layer.

    ::

        y = Wo concatenate(gate[h] · head[h]) + bo             gate[h] = 1 in the model itself

        gradient:  importance[h] = mean over the examples of |∂loss / ∂gate[h]|
        ablation:  importance[h] = loss with gate[h] = 0, minus the loss

    Parameters
    ----------
    model : Layer
        It is not changed: not its parameters, nor their gradients.
    x, y, sample_weight, batch_size
        Examples, as in :meth:`Layer.fit`.
    loss : str or function, optional
        As in :meth:`Layer.compile`; None is that of the compiled model.
    method : {"gradient", "ablation"}, default "gradient"
        gradient costs one pass forward and backward over the examples, ablation as many passes
        forward as there are heads. Either is without dropout.

    Returns
    -------
    dict of numpy.ndarray, (H,), float64
        By the dotted name of the :class:`MultiHeadAttention`; "" for the model itself. The greater
        the number the more the loss depends on the head. 0 for one that the examples do not reach;
        with ablation it is negative for a head without which the loss is lower.

    Raises
    ------
    ValueError
        A model without MultiHeadAttention, or with one whose first axis is not that of the
        examples; no loss for a model that is not compiled.
    TypeError
        A model that is not a layer.

    Notes
    -----
    Michel, Levy and Neubig 2019, Are Sixteen Heads Really Better than One?,
    https://arxiv.org/abs/1905.10650; they divide the numbers of each layer by their norm before
    they compare layers: ``{name: of / np.linalg.norm(of) for name, of in importance.items()}``.
    An example with several targets counts as many times as it has targets. Needs memory for a
    second copy of the model. Computes in the type of each layer, sums in float64; any number of
    threads may call with the same model.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.layers import Flatten, Linear, MultiHeadAttention, Sequential
    >>> from heedful.pruning import head_importance
    >>> model = Sequential(MultiHeadAttention(8, 4, rng=0), Flatten(), Linear(24, 2, rng=1))
    >>> model[0].out_proj.weight[:, 2:4] = 0  # nothing depends on head 1
    >>> x, labels = np.random.default_rng(0).standard_normal((20, 3, 8)), np.arange(20) % 2
    >>> importance = head_importance(model, x, labels, loss="sparse_categorical_crossentropy")
    >>> importance["0"].shape, int(importance["0"].argmin())
    ((4,), 1)
    """
    method = one_of("method", method, ("gradient", "ablation"))
    attention_layers(model)
    function = _loss_of(model, loss)
    batches = as_data(x, y, sample_weight).batches(size("batch_size", batch_size))
    copy = without_dropout(model)
    gates = dict(_gates(copy))
    of_batches = _gradients if method == "gradient" else _ablations
    return of_batches(copy, gates, function, batches)


def _loss_of(model: Layer, loss: Any) -> Any:
    if loss is not None:
        return as_loss(loss, ends_in_probabilities(model))
    trainer = vars(model).get("_trainer")
    if not isinstance(trainer, Trainer):
        raise ValueError("loss must be given for a model that is not compiled: got None")
    return trainer.loss


def _gates(model: Layer) -> Iterator[tuple[str, Gate]]:
    """Gates that are put into a model."""
    for name, layer in attention_layers(model).items():
        gate: Any = Gate(layer.out_proj, layer.num_heads)
        layer.out_proj = gate
        yield name, gate


def _mean_and_gradient(function: Any, batch: Batch, prediction: Any) -> tuple[Mean, Any]:
    """The loss of a batch and over how many targets it is the mean, and its gradient."""
    loss, gradient = call_loss(function, batch.target, prediction, batch.weight)
    totals = Totals.of([], function, loss, batch.target, prediction, batch.weight)
    mean = totals.sums["loss"]
    assert isinstance(mean, Mean)
    return mean, gradient


def _gradients(
    model: Layer, gates: dict[str, Gate], function: Any, batches: Iterator[Batch]
) -> dict[str, Array]:
    sums = {name: np.zeros(len(gate.gate)) for name, gate in gates.items()}
    count = 0.0
    for batch in batches:
        for gate in gates.values():
            gate.dgate = None
        prediction, backward = model.forward(*batch.by_position, rng=0, **batch.by_name)
        mean, gradient = _mean_and_gradient(function, batch, prediction)
        if isinstance(prediction, tuple):
            backward(*gradient)
        else:
            backward(gradient)
        count += mean.count
        for name, gate in gates.items():
            if gate.dgate is not None:
                _check_examples(name, gate.dgate, len(batch.target))
                # the loss is a mean: times its count, the gradient is the example's own
                sums[name] += np.abs(gate.dgate).sum(0) * mean.count
    return {name: total / max(count, 1.0) for name, total in sums.items()}


def _check_examples(name: str, dgate: Array, examples: int) -> None:
    if len(dgate) != examples:
        raise ValueError(
            "model must pass its examples to every attention as the first axis: "
            f"{named(name)} got {len(dgate)} rows for {examples} examples"
        )


def _ablations(
    model: Layer, gates: dict[str, Gate], function: Any, batches: Iterator[Batch]
) -> dict[str, Array]:
    whole = Mean()
    without = {name: [Mean() for _ in gate.gate] for name, gate in gates.items()}
    for batch in batches:

        def mean(batch: Batch = batch) -> Mean:
            prediction = model(*batch.by_position, **batch.by_name)
            return _mean_and_gradient(function, batch, prediction)[0]

        whole.add(mean())
        for name, gate in gates.items():
            for head, total in enumerate(without[name]):
                gate.gate[head] = 0
                total.add(mean())
                gate.gate[head] = 1
    loss = whole.value()
    return {
        name: np.array([total.value() - loss for total in totals])
        for name, totals in without.items()
    }
