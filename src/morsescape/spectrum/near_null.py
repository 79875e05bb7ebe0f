"""Directions in which a shifted count is likely to leave a sign open.

The errors of a factorisation are e = M v / v for any test vector v > 0, and what they leave open in
a direction x, xᵀ diag(e) x, is smallest for v near |x|. So a count that leaves more open than is
known to be null looks for these x, and counts again with v raised where they live. They come from
a factorisation that is there already, by subspace iteration. No proof rests on them.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from morsescape.spectrum.ldl import Factor

_STEPS = 8
_SPARE = 24  # columns beside those that are wanted
_NULL = 0.005  # of the shift: nearer to zero no v decides a sign
_FAR = 8.0  # of the shift: farther away signs are decided as it is


def near_null(factor: Factor, shift: np.ndarray, count: int) -> np.ndarray:
    """About `count` vectors x with xᵀ A x small beside xᵀ diag(|shift|) x, but not zero: (n, m).

    Args:
        factor: of A + diag(shift), whose L was not touched; A is in its upper triangle.
        shift: all of one sign.
        count: how many are looked for, those with A x = 0 among them.
    """
    n, size = len(shift), torch.from_numpy(np.abs(shift))[:, None]
    if count == 0:
        return np.zeros((n, 0))
    columns = min(n, count + _SPARE)
    x = torch.randn(n, columns, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x /= size.sqrt()
    for _ in range(_STEPS):
        q, _ = torch.linalg.qr(size.sqrt() * solved(factor, size * x))
        x = q / size.sqrt()
    form = x.t() @ _times(factor.lower, x)
    if not bool(form.isfinite().all()):
        return np.zeros((n, 0))
    values, turn = torch.linalg.eigh((form + form.t()) / 2)
    wanted = (values.abs() > _NULL) & (values.abs() < _FAR)
    return (x @ turn[:, wanted]).numpy()


def solved(factor: Factor, right: Tensor) -> Tensor:
    """The solution of (A + diag(shift)) x = right, as good as the factorisation: (n, k)."""
    order = torch.from_numpy(factor.order)
    y = torch.linalg.solve_triangular(factor.lower, right[order], upper=False, unitriangular=True)
    y = torch.from_numpy(_block_solved(factor, y.numpy()))
    z = torch.linalg.solve_triangular(factor.lower.t(), y, upper=True, unitriangular=True)
    out = torch.empty_like(z)
    out[order] = z
    return out


@np.errstate(all="ignore")
def _block_solved(factor: Factor, y: np.ndarray) -> np.ndarray:
    """D⁻¹ y; a pivot that is 0 leaves its row as it is."""
    d, two = factor.diagonal, np.flatnonzero(factor.coupling)
    z = y / np.where(d == 0, 1.0, d)[:, None]
    a, b, c = d[two, None], d[two + 1, None], factor.coupling[two, None]
    det = a * b - c * c
    z[two] = (b * y[two] - c * y[two + 1]) / det
    z[two + 1] = (a * y[two + 1] - c * y[two]) / det
    return z


def _times(upper: Tensor, x: Tensor, strip: int = 256) -> Tensor:
    """A x for the symmetric A in the upper triangle."""
    out = torch.zeros_like(x)
    for start in range(0, len(x), strip):
        stop = min(start + strip, len(x))
        tile = upper[start:stop, start:stop].triu()
        right = upper[start:stop, stop:]
        out[start:stop] += (tile + tile.triu(1).t()) @ x[start:stop] + right @ x[stop:]
        out[stop:] += right.t() @ x[start:stop]
    return out
