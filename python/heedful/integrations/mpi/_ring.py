"""Keys and values go round a ring of processes, each of which keeps its queries.

At step s process r has the keys of process r − s. While it computes, it sends them to process r + 1
and receives those of process r − 1 − s. In the backward pass the gradients of keys and values
follow them: what arrives was summed by the processes before, and after the last step it goes to the
process that the keys belong to.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

import heedful
from heedful.integrations import _key_pieces
from heedful.integrations._key_pieces import Array, PiecedCall, Span, length_axis
from heedful.integrations.mpi._messages import Messages

_KEYS, _SUMS, _HOME = 0, 2, 4  # tags: of key and value, of their gradients, of those at the end
_CALLS, _ROWS = (
    8,
    128,
)  # MPI goes on with transfers between calls: so many, of so many rows at least


class Part(NamedTuple):
    """A run of consecutive positions, and where it is among the rows of its process."""

    local: Span
    whole: Span


def parts(spans: list[Span]) -> list[Part]:
    """The runs of one process."""
    ends = np.cumsum([last - first for first, last in spans]).tolist()
    return [
        Part((end - (last - first), end), (first, last))
        for (first, last), end in zip(spans, ends, strict=True)
    ]


def shorter(runs: list[Part]) -> list[Part]:
    """The same rows in parts that are short enough for some calls a step."""
    most = max(_ROWS, -(-runs[-1].local[1] // _CALLS))
    found = []
    for (local, end), (whole, last) in runs:
        for first in range(0, max(end - local, 1), most):
            found.append(
                Part(
                    (local + first, min(local + first + most, end)),
                    (whole + first, min(whole + first + most, last)),
                )
            )
    return found


class Ring:
    """One call of all processes: this one's arrays, and which rows and keys each process has."""

    def __init__(
        self, comm: Any, call: PiecedCall, query: Array, key: Array, value: Array,
        scores: dict[str, Array], rows: list[list[Span]], keys: list[list[Span]],
    ) -> None:  # fmt: skip
        self.comm, self.call, self.query, self.scores = comm, call, query, scores
        self.own = [np.ascontiguousarray(array) for array in (key, value)]
        self.rows = shorter(parts(rows[comm.rank]))
        self.keys = [parts(spans) for spans in keys]
        # beyond the last step in which any process sees anything, keys need not travel
        self.last = max(
            step for step in range(comm.size) for rank in range(comm.size)
            if step == 0 or any(
                call.sees(row, span) for row in rows[rank] for span in keys[rank - step]
            )
        )  # fmt: skip

    def forward(self) -> tuple[Array, Array]:
        """out and lse of this process's queries, out in the type that is computed in."""
        call = self.call
        out = np.zeros(call.out_shape, call.computing)
        lse = np.full(call.lse_shape, -np.inf, call.computing)
        found: list[list[tuple[Array, Array]]] = [[] for _ in self.rows]
        for step, _, arrays, messages in self._steps():
            for row, key, options in self._pairs(step):
                found[row].append(
                    _key_pieces.forward(
                        call.computing, self._of_row(self.query, row),
                        *(self._cut(array, key.local) for array in arrays), **options,
                    )
                )  # fmt: skip
                messages.advance()
            for row, some in enumerate(found):
                if len(some) > 1:
                    merged = heedful.merge_attention(*zip(*some, strict=True), layout=call.layout)
                    found[row] = [merged]
        for row, [(row_out, row_lse)] in enumerate(found):
            self._of_row(out, row)[...] = row_out
            self._lse_of_row(lse, row)[...] = row_lse
        return out, lse

    def backward(
        self, dout: Array, dlse: Array | None, out: Array, lse: Array
    ) -> tuple[Array, Array, Array, Array | None, Array | None]:
        """Gradients of this process's query, key and value, its parts of those of bias and sink."""
        call, size, rank = self.call, self.comm.size, self.comm.rank
        dquery = np.zeros(self.query.shape, call.computing)
        bias = self.scores.get("bias")
        dbias = None if bias is None else np.zeros(bias.shape, call.computing)
        dsink = None if call.sink is None else np.zeros(call.sink.shape)
        sent, home = Messages(self.comm), Messages(self.comm)
        final = [np.empty(array.shape, call.computing) for array in self.own]
        for step, owner, arrays, messages in self._steps():
            sums = [np.zeros(array.shape, call.computing) for array in arrays]
            before, earlier = [np.empty_like(array) for array in sums], Messages(self.comm)
            if step:
                earlier.receive(before, (rank - 1) % size, _SUMS)
            if step == self.last and step:
                home.receive(final, (rank + step) % size, _HOME)
            for row, key, options in self._pairs(step):
                options["dlse"] = None if dlse is None else self._lse_of_row(dlse, row)
                key_part, value_part = (self._cut(array, key.local) for array in arrays)
                found = _key_pieces.backward(
                    call.computing, self._of_row(dout, row), self._of_row(self.query, row),
                    key_part, value_part, self._of_row(out, row), self._lse_of_row(lse, row),
                    **options,
                )  # fmt: skip
                self._of_row(dquery, row)[...] += found.query
                for total, gradient in zip(sums, (found.key, found.value), strict=True):
                    self._cut(total, key.local)[...] += gradient
                if dbias is not None:
                    self._scores_of(dbias, self.rows[row].local, key.whole)[...] += found.bias
                if dsink is not None and found.sink is not None:
                    dsink += found.sink
                for transfer in (messages, earlier, sent):
                    transfer.advance()
            if step:
                earlier.wait()
                for total, array in zip(sums, before, strict=True):
                    total += array
            sent.wait()
            if step < self.last:
                sent.send(sums, (rank + 1) % size, _SUMS)
            elif step:
                sent.send(sums, owner, _HOME)
            else:
                final = sums
        home.wait()
        sent.wait()
        return dquery, final[0], final[1], dbias, dsink

    def _steps(self) -> Iterator[tuple[int, int, list[Array], Messages]]:
        """(step, process, its key and value, transfers that go on meanwhile) for each step."""
        size, rank, current = self.comm.size, self.comm.rank, self.own
        for step in range(self.last + 1):
            messages, following = Messages(self.comm), []
            if step < self.last:
                following = self._like_own((rank - step - 1) % size)
                messages.receive(following, (rank - 1) % size, _KEYS)
                messages.send(current, (rank + 1) % size, _KEYS)
            yield step, (rank - step) % size, current, messages
            messages.wait()
            current = following

    def _like_own(self, owner: int) -> list[Array]:
        """Uninitialised arrays for the key and the value of another process."""
        found, length = [], self.keys[owner][-1].local[1]
        for array in self.own:
            axis = length_axis(array.ndim, self.call.layout)
            shape = (*array.shape[:axis], length, *array.shape[axis + 1 :])
            found.append(np.empty(shape, array.dtype))
        return found

    def _pairs(self, step: int) -> Iterator[tuple[int, Part, dict[str, Any]]]:
        """(number of the rows' part, keys, options) of each call of one step.

        The first part of a process's own keys is never left out: it has the sink.
        """
        for row, (local, whole) in enumerate(self.rows):
            for n, key in enumerate(self.keys[(self.comm.rank - step) % self.comm.size]):
                first = step == n == 0
                if first or self.call.sees(whole, key.whole):
                    options = self.call.of(whole, key.whole, first)
                    for name, array in self.scores.items():
                        options[name] = self._scores_of(array, local, key.whole)
                    yield row, key, options

    def _cut(self, array: Array, span: Span) -> Array:
        axis = length_axis(array.ndim, self.call.layout)
        return array[(slice(None),) * axis + (slice(*span),)]

    def _of_row(self, array: Array, row: int) -> Array:
        return self._cut(array, self.rows[row].local)

    def _lse_of_row(self, array: Array, row: int) -> Array:
        return array[..., slice(*self.rows[row].local)]

    def _scores_of(self, array: Array, rows: Span, keys: Span) -> Array:
        """The part of a mask or a bias; axes of size 1 are in all parts."""
        spans = (rows, self.call.lse_shape[-1]), (keys, self.call.key_length)
        cuts = [
            slice(*span) if size == length else slice(None)
            for size, (span, length) in zip(
                reversed(array.shape[-2:]), reversed(spans), strict=False
            )
        ]
        where = (..., *cuts[::-1])
        return array[where]
