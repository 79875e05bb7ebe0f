"""Handles: χ, the Morse inequalities, and lists that cannot be complete."""

import pytest

from morsescape.errors import ArgumentError
from morsescape.morse.handles import handles
from morsescape.zoo import himmelblau

LISTED = [
    ((value, value), index)
    for point, (index, _) in himmelblau.critical
    for value in [float(himmelblau.fn(point, None))]
]


def test_himmelblau_is_built_up() -> None:
    built = handles(LISTED, 2)
    assert built.counts() == (4, 4, 1)
    assert built.euler(1.0) == (4, 4)
    assert built.euler(1e4) == (1, 1)
    assert built.audit().startswith("nothing speaks against")


@pytest.mark.parametrize("left_out", range(9))
def test_one_point_left_out_is_missed(left_out: int) -> None:
    part = LISTED[:left_out] + LISTED[left_out + 1 :]
    assert "missing" in handles(part, 2).audit()


def test_inequalities_find_what_the_sum_does_not() -> None:
    built = handles([((0.0, 0.0), 0), ((0.0, 0.0), 0), ((1.0, 1.0), 3)], 3)  # the sum is 1
    assert built.violated((1,)) == (1,)
    assert "degree 1" in built.audit()


def test_overlapping_values_stay_open() -> None:
    built = handles([((2.0, 4.0), 1), ((3.0, 5.0), 2), ((0.0, 0.0), 0)], 2)
    assert built.unordered() == ((1, 2),)
    assert built.euler(3.5) == (0, 2)


@pytest.mark.parametrize("point", [((1.0, 0.0), 0), ((0.0, float("nan")), 0), ((0.0, 1.0), 3)])
def test_bad_points_are_refused(point: tuple[tuple[float, float], int]) -> None:
    with pytest.raises(ArgumentError):
        handles([point], 2)


def test_one_point_of_each_orbit_is_enough() -> None:
    f = [((0.0, 0.0), 0), ((1.0, 1.0), 1), ((2.0, 2.0), 2)]  # two double wells, x and y exchanged
    built = handles(f, 2, copies=[4, 4, 1])
    assert built.counts() == (4, 4, 1)
    assert built.euler(1.5) == (0, 0)
    assert built.audit().startswith("nothing speaks against")
    assert "missing" in handles(f, 2, copies=[4, 3, 1]).audit()


@pytest.mark.parametrize("copies", [[1, 1], [0]])
def test_bad_copies_are_refused(copies: list[int]) -> None:
    with pytest.raises(ArgumentError, match="copies"):
        handles([((0.0, 0.0), 0)], 2, copies=copies)
