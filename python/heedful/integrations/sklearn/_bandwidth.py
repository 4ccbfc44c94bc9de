"""The bandwidth of a kernel, chosen by leaving out one example after another."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from heedful.base._types import Array
from heedful.integrations.sklearn._distinct_rows import DistinctRows
from heedful.integrations.sklearn._kernel_mean import KernelMean

_MAX_HALVINGS = 40
_PATIENCE = 3  # halvings that do not improve, before the search ends
_LARGEST_FACTOR = 1e4  # of a feature's bandwidth to the common one


class Found(NamedTuple):
    bandwidth: Any  # float, or (F,)
    error: float
    n_iter: int


class LeaveOneOut:
    """The error of the means over all other examples, as a share of the targets' variance::

        error(h) = Σ_i w_i Σ_o (y_io − ŷ_io(h))² / v_o / outputs        v_o variance of output o

    which is 1 − R², averaged over the outputs, of the examples that are left out.

    Parameters
    ----------
    rows : DistinctRows
    count : int
        How many of them are left out, one after another, drawn at random.
    """

    def __init__(self, rows: DistinctRows, count: int, rng: np.random.RandomState) -> None:
        order = None
        self.count = min(count, len(rows.weights))
        if self.count < len(rows.weights):
            order = rng.permutation(len(rows.weights))
        self.mean = KernelMean(rows, order)
        targets, share = self.mean.targets.astype(np.float64), self.mean.share
        variance = share @ (targets - share @ targets) ** 2 + rows.variance
        outputs = targets.shape[1]
        self.factors = np.where(variance > 0, 1 / np.where(variance > 0, variance, 1), 0) / outputs
        self.share = share[: self.count] / share[: self.count].sum()
        self.within = float(rows.variance @ self.factors)

    def __call__(self, bandwidth: Any) -> float:
        return self._error(self._difference(self.mean.left_out(bandwidth, self.count)))

    def with_gradient(self, log_bandwidth: Array) -> tuple[float, Array]:
        """The error, and its derivatives by the logarithm of each feature's bandwidth."""
        out, gradient = self.mean.left_out_with_gradient(np.exp(log_bandwidth), self.count)
        difference = self._difference(out)
        dout = 2 * self.share[:, None] * difference * self.factors
        return self._error(difference), gradient(dout)

    def _difference(self, out: Array) -> Array:
        difference: Array = out.astype(np.float64) - self.mean.targets[: self.count]
        return difference

    def _error(self, difference: Array) -> float:
        return float(self.share @ (difference**2 @ self.factors)) + self.within

    def common(self) -> Found:
        """One bandwidth: halved from the examples' distance on, then refined around the best."""
        from scipy.optimize import minimize_scalar

        x = self.mean.x.astype(np.float64)
        start = float(np.sqrt(2 * (self.mean.share @ x**2).sum()))  # rms distance of two examples
        if not start > 0:
            return Found(1.0, self(1.0), 1)
        best, waited = Found(start, self(start), 1), 0
        for halving in range(1, _MAX_HALVINGS):
            bandwidth = start * 2.0**-halving
            error = self(bandwidth)
            waited = 0 if error < best.error else waited + 1
            if error < best.error:
                best = Found(bandwidth, error, halving + 1)
            if waited == _PATIENCE:
                break
        middle = np.log2(best.bandwidth)
        refined = minimize_scalar(
            lambda power: self(2.0**power), bounds=(middle - 1, middle + 1), method="bounded",
            options={"xatol": 0.03},
        )  # fmt: skip
        passes = 1 + halving + int(refined.nfev)
        if refined.fun < best.error:
            return Found(float(2.0**refined.x), float(refined.fun), passes)
        return best._replace(n_iter=passes)

    def per_feature(self, max_iter: int, alpha: float) -> Found:
        """One for each feature, by the gradient, from the common one h on.

        Minimises error(h_1 …) + alpha · mean over the features of log² (h_f / h).
        """
        from scipy.optimize import minimize

        common = self.common()
        start = np.full(self.mean.x.shape[1], np.log(common.bandwidth))
        span = np.log(_LARGEST_FACTOR)

        def penalised(log_bandwidth: Array) -> tuple[float, Array]:
            error, gradient = self.with_gradient(log_bandwidth)
            apart = log_bandwidth - start
            return error + alpha * float(apart @ apart) / len(apart), gradient + (
                2 * alpha / len(apart) * apart
            )

        found = minimize(
            penalised, start, jac=True, method="L-BFGS-B",
            bounds=[(value - span, value + span) for value in start],
            options={"maxiter": max_iter},
        )  # fmt: skip
        bandwidth = np.exp(found.x)
        return Found(bandwidth, self(bandwidth), max(1, int(found.nit)))
