"""Steps: functions of arrays that a :class:`Tape`, `call` and functional models can differentiate.

Each is named as in NumPy and takes arrays, values of a tape, or symbolic values. Operators (+, −,
\\*, /, @, \\*\\*, comparisons, indices) and the methods reshape, transpose, swapaxes, squeeze, sum,
mean and max of such values are these steps too.

=====================  ==========================================================================
element by element     `add`, `subtract`, `multiply`, `divide`, `negative`, `power`, `maximum`,
                       `minimum`, `where`, `exp`, `log`, `sqrt`, `tanh`, `sigmoid`, `abs`
booleans               `greater`, `greater_equal`, `less`, `less_equal`, `equal`, `not_equal`
products               `matmul`, `attention`, `additive_attention`
over axes              `sum`, `mean`, `max`, `softmax`, `log_softmax`
shapes                 `reshape`, `transpose`, `swapaxes`, `expand_dims`, `squeeze`,
                       `broadcast_to`
pieces                 `index`, `concatenate`, `stack`, `split`
constants              `stop_gradient`
=====================  ==========================================================================

Numbers, and arrays that are not values of the tape, are constants and take the type of the values
beside them: float32 stays float32.

Examples
--------
>>> import numpy as np
>>> from heedful.layers import Layer, Linear, steps
>>> class Gated(Layer):
...     def __init__(self, width):
...         self.gate, self.inner = Linear(width, width, rng=0), Linear(width, width, rng=1)
...     def call(self, x):
...         return steps.sigmoid(self.gate(x)) * self.inner(x)
>>> y, backward = Gated(3).forward(np.ones((2, 3), np.float32))
>>> backward(np.ones_like(y)).shape
(2, 3)
"""

from heedful.base.tape._arithmetic import (
    add,
    divide,
    equal,
    greater,
    greater_equal,
    less,
    less_equal,
    maximum,
    minimum,
    multiply,
    negative,
    not_equal,
    power,
    subtract,
    where,
)  # fmt: skip
from heedful.base.tape._elementwise import abs_ as abs
from heedful.base.tape._elementwise import exp, log, sigmoid, sqrt, stop_gradient, tanh
from heedful.base.tape._pieces import concatenate, index, split, stack
from heedful.base.tape._products import additive_attention, attention, matmul
from heedful.base.tape._reductions import log_softmax, mean, softmax
from heedful.base.tape._reductions import max_ as max
from heedful.base.tape._reductions import sum_ as sum
from heedful.base.tape._shapes import (
    broadcast_to,
    expand_dims,
    reshape,
    squeeze,
    swapaxes,
    transpose,
)  # fmt: skip

__all__ = [
    "abs", "add", "additive_attention", "attention", "broadcast_to", "concatenate", "divide",
    "equal", "exp", "expand_dims", "greater", "greater_equal", "index", "less", "less_equal",
    "log", "log_softmax", "matmul", "max", "maximum", "mean", "minimum", "multiply", "negative",
    "not_equal", "power", "reshape", "sigmoid", "softmax", "split", "sqrt", "squeeze", "stack",
    "stop_gradient", "subtract", "sum", "swapaxes", "tanh", "transpose", "where",
]  # fmt: skip
