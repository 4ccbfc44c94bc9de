"""How many threads a call uses: this thread's number, else the process's, else the default.

The compiled module stores the numbers, so that a call reads them without Python.
"""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from numbers import Integral

from heedful._core import native

__all__ = ["get_num_threads", "num_threads", "set_num_threads"]

# A typo must not start threads and reserve scratch memory without bound.
_MAX_THREADS = max(1024, os.cpu_count() or 1)


def set_num_threads(n: int | None) -> None:
    """Set how many threads the calls of this process use.

    Parameters
    ----------
    n : int or None
        The number of threads, 1 to 1024, honoured as given even where the processor has fewer
        cores. None returns to the default: what OpenMP would use at the time of a call
        (``OMP_NUM_THREADS``, ``threadpoolctl``, the processor affinity), and never more than the
        container's processor quota.

    Raises
    ------
    TypeError
        If `n` is not an integer.
    ValueError
        If `n` is not between 1 and 1024.

    See Also
    --------
    num_threads : for a block of code in one thread; it takes precedence over this number.

    Notes
    -----
    The number of threads changes no bit of any result.

    Examples
    --------
    >>> import heedful
    >>> heedful.set_num_threads(2)
    >>> heedful.get_num_threads()
    2
    >>> heedful.set_num_threads(None)
    """
    native.set_num_threads(0 if n is None else _checked(n))


def get_num_threads() -> int:
    """Return how many threads a call from this thread would use now.

    Returns
    -------
    int
        The number of the innermost enclosing `num_threads` block, else that of `set_num_threads`,
        else the default.

    Examples
    --------
    >>> import heedful
    >>> with heedful.num_threads(1):
    ...     heedful.get_num_threads()
    1
    """
    return native.num_threads()


def num_threads(n: int) -> AbstractContextManager[int]:
    """Use `n` threads within a ``with`` block, for calls of this thread only.

    Other threads are not affected. Blocks may be nested: the innermost applies. Also usable as a
    decorator.

    Parameters
    ----------
    n : int
        The number of threads, 1 to 1024, honoured as given.

    Returns
    -------
    context manager
        Its ``as`` target is `n`.

    Raises
    ------
    TypeError
        If `n` is not an integer.
    ValueError
        If `n` is not between 1 and 1024.

    Examples
    --------
    >>> import heedful
    >>> with heedful.num_threads(3):
    ...     heedful.get_num_threads()
    3
    """
    return _limit(_checked(n))


@contextmanager
def _limit(number: int) -> Iterator[int]:
    before = native.exchange_threads_here(number)
    try:
        yield number
    finally:
        native.exchange_threads_here(before)


def _checked(n: object) -> int:
    if isinstance(n, bool) or not isinstance(n, Integral):
        raise TypeError(f"n must be a number of threads, an integer: got {n!r}")
    number = int(n)
    if not 1 <= number <= _MAX_THREADS:
        raise ValueError(
            f"n must be a number of threads between 1 and {_MAX_THREADS}: got {number}"
        )
    return number
