"""Where labels stand beside circles without lying on one another; everything is in points."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import numpy as np
from matplotlib.textpath import TextPath

SIDES = np.array([(0, -1), (0, 1), (1, 0), (-1, 0), (0.8, -0.8), (-0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)])
"""From a circle to its label, those first that are preferred: below, above, right, left, between them."""
GAP = 2.0


def beside(
    spots: Mapping[Hashable, np.ndarray],
    radii: Mapping[Hashable, float],
    labels: Mapping[Hashable, tuple[str, float]],
    size: np.ndarray,
) -> dict[Hashable, np.ndarray]:
    """Middles of labels, each on that side of its circle where it covers least of the others.

    Parameters
    ----------
    spots, radii
        Middles and radii of the circles.
    labels
        Text and size of its letters, the longest of which are placed first.
    size
        Of the figure, beyond which no label reaches.
    """
    taken = [_box(spots[node], np.array([radii[node]] * 2)) for node in spots]
    middles = {}
    for node in sorted(labels, key=lambda node: -len(labels[node][0])):
        text, letters = labels[node]
        half = np.array([TextPath((0, 0), text, size=letters).get_extents().width, letters]) / 2
        choices = np.clip(spots[node] + SIDES * (radii[node] + GAP + half), half, size - half)
        boxes = [_box(choice, half) for choice in choices]
        best = int(np.argmin([_covered(box, taken) for box in boxes]))
        taken.append(boxes[best])
        middles[node] = choices[best]
    return middles


def _box(middle: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Left, lower, right and upper edge."""
    return np.concatenate([middle - half, middle + half])


def _covered(box: np.ndarray, taken: list[np.ndarray]) -> float:
    """Area that a box covers of others."""
    others = np.array(taken)
    shared = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    return float(shared.clip(min=0).prod(axis=1).sum())
