"""Both parts of every eigenvalue are drawn, on the side that they are on."""

import pytest

from morsescape.errors import ArgumentError
from morsescape.experiments.spectrum.figure import split_ranks


def lines(ax):
    return {line.get_label(): line for line in ax.lines}


def test_every_number_is_drawn_once():
    ax = split_ranks([9.0, 8.0, 1.0], [8.5, 8.5, 1.25], [0.5, -0.5, -0.25], outliers=2)
    drawn = lines(ax)
    assert drawn["eigenvalue λ"].get_ydata().tolist() == [9, 8, 1]
    assert drawn["Gauss-Newton part"].get_ydata().tolist() == [8.5, 8.5, 1.25]
    assert drawn["residual part"].get_xdata().tolist() == [1]
    assert drawn["_residual part"].get_xdata().tolist() == [2, 3]  # hollow: against λ
    assert drawn["_residual part"].get_markerfacecolor() == "none"
    assert drawn["2 outliers"].get_xdata() == [2.5, 2.5]
    assert ax.get_xlabel() == "rank, from the largest"


def test_negative_eigenvalues_are_drawn_by_size():
    ax = split_ranks([-4.0, -2.0], [1.0, 0.0], [-5.0, -2.0])
    drawn = lines(ax)
    assert drawn["eigenvalue λ"].get_ydata().tolist() == [4, 2]
    assert drawn["residual part"].get_ydata().tolist() == [5, 2]
    assert drawn["_Gauss-Newton part"].get_xdata().tolist() == [1]  # a zero is not drawn
    assert len(drawn["Gauss-Newton part"].get_xdata()) == 0
    assert ax.get_xlabel() == "rank, from the most negative"
    ax.figure.canvas.draw()


@pytest.mark.parametrize("parts", [([], [], []), ([1.0], [1.0, 2.0], [0.0])])
def test_parts_of_nothing_or_of_something_else(parts):
    with pytest.raises(ArgumentError, match="eigenvalues: expected at least one, and two parts"):
        split_ranks(*parts)
