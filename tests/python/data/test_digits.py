"""The data set that comes with the package."""

from importlib.resources import files

import numpy as np
import pytest

from heedful.data import load_digits

pytestmark = pytest.mark.once


def test_there_are_1797_images_of_8_by_8_pixels_between_0_and_16() -> None:
    images, labels = load_digits()
    assert images.shape == (1797, 8, 8)
    assert images.dtype == labels.dtype == np.uint8
    assert images.min() == 0
    assert images.max() == 16
    assert sorted(set(labels.tolist())) == list(range(10))


def test_the_images_are_those_of_scikit_learn() -> None:
    sklearn_datasets = pytest.importorskip("sklearn.datasets")
    expected = sklearn_datasets.load_digits()
    images, labels = load_digits()
    np.testing.assert_array_equal(images, expected.images)
    np.testing.assert_array_equal(labels, expected.target)


def test_what_one_caller_changes_another_does_not_see() -> None:
    load_digits()[0][:] = 99
    assert load_digits()[0].max() == 16


def test_the_data_are_small_and_carry_their_licence() -> None:
    folder = files("heedful.data")
    assert len((folder / "digits.npz").read_bytes()) < 100_000
    licence = (folder / "digits.LICENSE.md").read_text(encoding="utf-8")
    for word in ("CC BY 4.0", "Alpaydin", "Kaynak", "10.24432/C50P49"):
        assert word in licence
