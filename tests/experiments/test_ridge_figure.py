"""The staircase of the index over λ."""

import math

import numpy as np
import pytest

from morsescape.errors import ArgumentError
from morsescape.experiments.ridge.figure import ridge_curve

STARTS = np.array([0.0, 1e-9, 1e-4, 0.5])


def test_both_ends_of_the_interval_are_drawn():
    low, high = np.array([3, 3, 1, 0]), np.array([8, 3, 1, 0])
    ax = ridge_curve(STARTS, low, high, gap=(1e-9, 1e-4), at=(3e-7, 3))
    first, second, mark = ax.lines
    assert first.get_ydata().tolist() == [3, 3, 1, 0, 0]
    assert second.get_ydata().tolist() == [8, 3, 1, 0, 0]
    assert first.get_xdata()[-1] > 0.5  # the last step goes on
    assert (mark.get_xdata()[0], mark.get_ydata()[0]) == (3e-7, 3)
    labels = ax.get_legend_handles_labels()[1]
    assert labels == ["undecided", "widest gap", "λ to take"]
    ax.figure.canvas.draw()


@pytest.mark.parametrize("gap", [None, (0.0, 0.5), (0.5, math.inf)])
@pytest.mark.parametrize("starts", [[0.0], [0.0, 1e-30], [0.0, 1e-9, 1e9]])
def test_any_staircase_can_be_drawn(starts, gap):
    steps = np.arange(len(starts))[::-1]
    ax = ridge_curve(np.array(starts), steps, steps, gap=gap)
    ax.figure.canvas.draw()
    assert all(text.get_text() for text in ax.get_xticklabels())


def test_no_steps():
    with pytest.raises(ArgumentError, match="steps: expected at least one"):
        ridge_curve(np.zeros(0), np.zeros(0), np.zeros(0))
    with pytest.raises(ArgumentError, match="got 4, with 2 and 4 ends"):
        ridge_curve(STARTS, np.zeros(2), np.zeros(4))
