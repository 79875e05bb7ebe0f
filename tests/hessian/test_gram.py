"""Products over samples round as often as is said, and no more."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch

from morsescape.hessian import gram
from morsescape.rounding.floats import gamma


@pytest.mark.parametrize("k", [1, 127, 128, 129, 1000])
def test_a_long_product_is_made_of_parts_that_are_complete(
    k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = torch.ones(2, k, dtype=torch.float64)
    b = torch.full((k, 3), 2.0**-53, dtype=torch.float64)
    b[0] = 1.0  # a sum in order loses all others
    inside: list[int] = []
    mm = torch.Tensor.__matmul__

    def counted(x: torch.Tensor, y: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
        inside.append(x.shape[1])
        return mm(x, y)

    monkeypatch.setattr(torch, "mm", counted)
    monkeypatch.setattr(torch.Tensor, "__matmul__", counted)
    product = gram.long_product(a, b)
    monkeypatch.undo()
    assert sum(inside) == k
    assert max(inside) + len(inside) <= gram.long_roundings(k)
    exact = 1 + (k - 1) * Fraction(1, 2**53)
    worst = max(abs(Fraction(x) - exact) for x in product.flatten().tolist())
    assert worst <= Fraction(gamma(gram.long_roundings(k))) * exact


def test_a_gram_matrix_rounds_within_its_count() -> None:
    n = 3000
    x = torch.full((n, 2), 1.0, dtype=torch.float64)
    w = torch.full((n,), 2.0**-53, dtype=torch.float64)
    w[0] = 1.0
    scratch = torch.empty(gram.BLOCK, 2, dtype=torch.float64), torch.empty(2, 2).double()
    found = gram.weighted_gram(x, w, torch.empty(2, 2).double(), scratch)
    exact = 1 + (n - 1) * Fraction(1, 2**53)
    worst = max(abs(Fraction(v) - exact) for v in found.flatten().tolist())
    assert worst <= Fraction(gamma(gram.gram_roundings(n))) * exact
    assert gram.gram_roundings(n) < 2 * math.sqrt(n) + gram.BLOCK
