"""A small classifier, its data and what it is: for tests in which only the form differs."""

from __future__ import annotations

from torch import nn

from strangers.truth import labels, normal, plain, truth

N = 6
X, Y = normal(N, 3), labels(N)


def small() -> nn.Module:
    """8 + 6 parameters."""
    return nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 2))


EXPECTED = truth(small, plain("cross_entropy", (X, Y)))
