"""The handwritten digits of the UCI machine learning repository."""

import errno
import sys
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray


def load_digits() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """1,797 handwritten digits of 13 people, as 8 by 8 images and the digits they show.

    Each pixel counts the inked dots, 0 to 16, of a 4 by 4 block of the scanned image.

    Returns
    -------
    images : ndarray, uint8, shape (1797, 8, 8)
    labels : ndarray, uint8, shape (1797,)
        The digit, 0 to 9, that each image shows.

    Notes
    -----
    E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
    Repository, 1998, https://doi.org/10.24432/C50P49; the part named optdigits.tes, in its order.
    Licensed under CC BY 4.0, see ``digits.LICENSE.md`` beside the data.

    Examples
    --------
    >>> from heedful.data import load_digits
    >>> images, labels = load_digits()
    >>> images.shape, labels[:5]
    ((1797, 8, 8), array([0, 1, 2, 3, 4], dtype=uint8))
    """
    file = files("heedful.data") / "digits.npz"
    try:
        stream = file.open("rb")
    except FileNotFoundError as error:
        raise FileNotFoundError(errno.ENOENT, _missing(), str(file)) from error
    with stream, np.load(stream, allow_pickle=False) as arrays:
        return arrays["images"], arrays["labels"]


def _missing() -> str:
    """The hint where the file is missing."""
    if getattr(sys, "frozen", False):
        return "heedful's data were left out of the application (--collect-data heedful)"
    return "heedful's data are missing (pip install --force-reinstall heedful)"
