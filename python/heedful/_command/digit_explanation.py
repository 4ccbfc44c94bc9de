"""Why a digit was recognised: what its pixels share with the images that it attends to."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import heedful
from heedful._command import digits, drawing
from heedful._command.picture import ATTENDED
from heedful.explain import AttentionMap, html
from heedful.explain.html import Page

Array = NDArray[Any]


def explain(number: int) -> Page:
    """Scores are scale · Σ_i query_i key_i: pixel i adds its product."""
    train, test = digits.halves()
    scale = digits.best_scale(digits.leave_one_out(train))
    place = (number - 1) // 2
    query, image, label = test.pixels[place], test.images[place], int(test.labels[place])
    weights = heedful.attention_weights(query[None], train.pixels, scale=scale)[0]  # (899,)
    votes = weights @ digits.one_hot(train.labels)
    answer, second = (int(digit) for digit in np.argsort(-votes, kind="stable")[:2])
    rows, names = [], []
    for key in np.argsort(-weights, kind="stable")[:ATTENDED]:
        rows.append(query * train.pixels[key])
        names.append(f"image {train.number[key]}, a {train.labels[key]}, weight {weights[key]:.3f}")
    typical = [_typical(weights, train, digit) for digit in (answer, second)]
    difference = query * (typical[0] - typical[1])
    for sign, (one, other) in ((1, (answer, second)), (-1, (second, answer))):
        rows.append(np.maximum(sign * difference, 0))
        names.append(f"for a {one}, against a {other}")
    shares = np.array([row / max(row.sum(), 1e-30) for row in rows])
    print(f"test image {number}, a {label}, answer {answer}")
    print("\n".join(drawing.draw(image)))
    print(f"\n{votes[answer]:.3f} of the weight is on images of {answer}, "
          f"{votes[second]:.3f} on those of {second}")  # fmt: skip
    for name in names[:ATTENDED]:
        print(f"  {name}")
    gain, loss = (scale * np.maximum(sign * difference, 0).sum() for sign in (1, -1))
    print(
        f"against the images of {second} those of {answer} gain {gain:.2f} in score at the pixels\n"
        f'of "{names[-2]}" and lose {loss:.2f} at those of "{names[-1]}"'
    )
    seen = AttentionMap.from_numpy(
        shares[None, None], names, [f"row {i // 8}, column {i % 8}" for i in range(64)],
        ["share of each pixel in the score"],
    )  # fmt: skip
    return html.image(
        seen, image, patch_size=1, title=f"Test image {number}, a {label}: answer {answer}"
    )


def _typical(weights: Array, train: digits.Half, digit: int) -> Array:
    """The mean of the images of a digit, each with its weight."""
    own = np.where(train.labels == digit, weights, 0)
    found: Array = own @ train.pixels / max(float(own.sum()), 1e-30)
    return found
