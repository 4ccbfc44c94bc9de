"""Pair: a layer, and a module of PyTorch with the same parameters, compared in all results.

float64 results must agree with PyTorch's float64 to 1e-10 of the largest element of an array.
float32 results may differ from PyTorch's float64 as much as PyTorch's own float32 does, and as much
as the exact result changes where all inputs of a module change by one unit in the last place:
several times that, because both are small random samples.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import heedful
from heedful.layers import Layer
from random_layers.activations import Kink
from random_layers.orders import in_order

Array = NDArray[Any]
Results = dict[str, Array]

torch.set_num_threads(1)

ALLOWED_RATIO = 12.0
FLOOR_OF_THE_ARRAY = 32.0  # units in the last place of the largest element of the array
FLOOR_OF_ALL = 8.0  # and of the largest of all arrays: gradients that are 0 except for rounding
RELATIVE_IN_FLOAT64 = 1e-10
MOVED = 3  # computations with moved inputs and parameters


@dataclass
class Pair:
    """The inputs of both. `run` calls the module with one tensor for each array."""

    ours: Layer
    theirs: torch.nn.Module
    arrays: Sequence[Array]
    run: Callable[..., Any]
    dtype: str
    options: dict[str, Any] = field(default_factory=dict)
    order: str = "C"
    frozen: int = 0  # the bits say which parameters
    calls: int = 1  # forward and backward, whose gradients add up
    threads: int = 1
    trained: bool = True

    def check(self, rng: np.random.Generator) -> None:
        dtype = np.dtype(self.dtype)
        self.theirs.to(as_torch(dtype))
        spread_parameters(self.theirs, rng)
        state = {name: tensor.numpy() for name, tensor in self.theirs.state_dict().items()}
        self.ours.load_state_dict(state)
        for index, (name, parameter) in enumerate(self.theirs.named_parameters()):
            if self.frozen >> index & 1:
                self.ours.freeze(name)
                parameter.requires_grad_(False)
        exact_module = copy.deepcopy(self.theirs).double()
        seed = int(rng.integers(2**32))
        Kink.closest = float("inf")
        with warnings.catch_warnings():  # PyTorch's own
            warnings.simplefilter("ignore")
            exact, noise = self._exact(exact_module, seed, dtype)
        if dtype == np.float32 and Kink.closest < 1e-4:
            return
        with heedful.num_threads(self.threads):
            found = self._ours(seed)
        assert_close(found, exact, noise, dtype)

    def _exact(
        self, module: torch.nn.Module, seed: int, dtype: np.dtype[Any]
    ) -> tuple[Results, dict[str, Any]]:
        """PyTorch's results in float64, and their errors by rounding."""
        exact = self._theirs(module, self.arrays, seed, np.float64)
        if dtype == np.float64:
            return exact, {}
        plain = self._theirs(self.theirs, self.arrays, seed, dtype)
        noise = {name: np.abs(plain[name] - exact[name]).max(initial=0) for name in exact}
        for index in range(MOVED):
            moved = self._moved(module, seed, np.random.default_rng((seed, index)))
            for name, array in moved.items():
                far = np.abs(array - exact[name]).max(initial=0)
                noise[name] = max(noise[name], far)
        return exact, noise

    def _theirs(
        self, module: torch.nn.Module, arrays: Sequence[Array], seed: int, dtype: Any
    ) -> Results:
        results: Results = {}
        module.zero_grad()
        leaves = [torch.tensor(array, dtype=as_torch(dtype)) if array.dtype.kind == "f"
                  else torch.tensor(array) for array in arrays]  # fmt: skip
        for leaf in leaves:
            leaf.requires_grad_(leaf.is_floating_point() and self.trained)
        for call in range(self.calls):
            found = self.run(module, *leaves)
            outputs = found if isinstance(found, tuple) else (found,)
            results |= {f"output {i}": one.detach().numpy() for i, one in enumerate(outputs)}
            if self.trained:
                given = [torch.tensor(dy, dtype=as_torch(dtype)) for dy in
                         cotangents(seed, call, outputs, self.dtype)]  # fmt: skip
                total = sum((one * dy).sum() for one, dy in zip(outputs, given, strict=True))
                if total.requires_grad:
                    total.backward()
        if self.trained:
            results |= {f"gradient of input {i}": leaf.grad.numpy() for i, leaf in
                        enumerate(leaves) if leaf.grad is not None}  # fmt: skip
            results |= {f"gradient of {name}": own.grad.numpy() for name, own in
                        module.named_parameters() if own.grad is not None}  # fmt: skip
        return {name: array.astype(np.float64) for name, array in results.items()}

    def _moved(self, module: torch.nn.Module, seed: int, rng: np.random.Generator) -> Results:
        """The exact results where inputs, parameters, and what modules pass to the next
        differ by a unit in the last place of float32, as rounding makes them differ."""
        module, unit = copy.deepcopy(module), float(np.finfo(np.float32).eps)

        def move(array: Array) -> Array:
            return array.astype(np.float64) * (1 + unit * rng.choice([-1.0, 1.0], array.shape))

        with torch.no_grad():
            for parameter in module.parameters():
                parameter.copy_(torch.tensor(move(parameter.numpy())))

        def round_off(_: Any, given: tuple[Any, ...]) -> tuple[Any, ...]:
            return tuple(
                x * torch.tensor(move(np.ones(tuple(x.shape))))
                if isinstance(x, torch.Tensor) and x.is_floating_point() else x for x in given
            )  # fmt: skip

        for inner in module.modules():
            inner.register_forward_pre_hook(round_off)
        arrays = [move(array) if array.dtype.kind == "f" else array for array in self.arrays]
        return self._theirs(module, arrays, seed, np.float64)

    def _ours(self, seed: int) -> Results:
        results: Results = {}
        arrays = [in_order(self.order, array) for array in self.arrays]
        before = [array.copy() for array in arrays]
        alone = self.ours(*arrays, **self.options)
        for index, one in enumerate(alone if isinstance(alone, tuple) else (alone,)):
            results[f"output {index}"] = one
            assert one.dtype == self.dtype, f"output {index} is {one.dtype}"
        if not self.trained:
            return results
        totals: list[Array | None] = [None] * len(arrays)
        for call in range(self.calls):
            y, backward = self.ours.forward(*arrays, rng=0, **self.options)
            outputs = y if isinstance(y, tuple) else (y,)
            results |= {f"output {i} in training": one for i, one in enumerate(outputs)}
            given = cotangents(seed, call, outputs, self.dtype)
            gradients = backward(*[in_order(self.order, dy) for dy in given])
            gradients = gradients if isinstance(gradients, tuple) else (gradients,)
            for index, gradient in enumerate(gradients):
                if gradient is not None:
                    old = totals[index]
                    totals[index] = gradient if old is None else old + gradient
        for index, (was, now) in enumerate(zip(before, arrays, strict=True)):
            np.testing.assert_array_equal(was, now, err_msg=f"input {index} was written")
        results |= {f"gradient of input {i}": one for i, one in enumerate(totals)
                    if one is not None}  # fmt: skip
        return results | {f"gradient of {name}": one for name, one in self.ours.grads.items()}


def spread_parameters(module: torch.nn.Module, rng: np.random.Generator) -> None:
    """Values from the case's seed: around 1 where a norm multiplies, around 0 elsewhere."""
    with torch.no_grad():
        for parameter in module.parameters():
            shape = tuple(parameter.shape)
            width = 0.5 if len(shape) < 2 else 1 / np.sqrt(shape[-1])
            parameter.copy_(torch.tensor(width * rng.standard_normal(shape)))
        for one in module.modules():
            if isinstance(one, (torch.nn.LayerNorm, torch.nn.RMSNorm)):
                one.weight += 1


def cotangents(seed: int, call: int, outputs: Sequence[Any], dtype: Any) -> list[Array]:
    rng = np.random.default_rng((seed, 99, call))
    return [rng.standard_normal(tuple(one.shape)).astype(dtype) for one in outputs]


def as_torch(dtype: Any) -> Any:
    return getattr(torch, np.dtype(dtype).name)


def assert_close(found: Results, exact: Results, noise: dict[str, Any], dtype: Any) -> None:
    wanted = {name.removesuffix(" in training") for name in found}
    assert wanted == set(exact), f"here {sorted(wanted)}, in PyTorch {sorted(exact)}"
    everywhere = max((np.abs(array).max(initial=1) for array in exact.values()), default=1.0)
    epsilon = float(np.finfo(dtype).eps)
    for name, array in found.items():
        name = name.removesuffix(" in training")
        right = exact[name]
        assert array.shape == right.shape, f"{name}: shape {array.shape}, expected {right.shape}"
        if not right.size:
            continue
        here = np.abs(right).max()
        if dtype == np.float64:
            allowed = RELATIVE_IN_FLOAT64 * here + 1e-12 * everywhere
        else:
            floors = FLOOR_OF_THE_ARRAY * here + FLOOR_OF_ALL * everywhere
            allowed = ALLOWED_RATIO * noise[name] + epsilon * floors
        error = np.abs(array - right)
        assert (error <= allowed).all(), (  # a NaN is not
            f"{name}: off by {error.max():.3g} where {allowed:.3g} is allowed, "
            f"the largest number is {here:.3g}"
        )
