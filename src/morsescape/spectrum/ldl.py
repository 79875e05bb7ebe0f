r"""A blocked LDLᵀ factorisation whose backward error is proved.

`factor` computes Pᵀ L D Lᵀ P = A + E for symmetric A with rook pivoting, D of blocks 1×1 and 2×2
(Bunch & Kaufman 1977; Ashcraft, Grimes & Lewis 1998). Partial pivoting would be proved as well, but
lets entries of L grow: near-singular Hessians then have a bound hundreds of times larger. The order
of operations is fixed here, not by LAPACK, so that

    |E| ≤ Σ_K γ_{m(K)} |L_K| |D_K| |L_K|ᵀ  (in the pivoted order),   m(K) = b + t(K) + 8,   (*)

for pivot blocks K in panels t(K) = 1, 2, … of at most b + 1 columns, γ_m = m u / (1 - m u),
u = 2⁻⁵³. Model: binary64, round to nearest, gradual underflow; a product of matrices sums its
terms in any order, fused or not, by the conventional formula (not Strassen's).

*Derivation.* An entry a_ij passes one subtraction per panel, fl(a - s), where s sums at most
b + 1 products l_ik w_jk: each product bears at most b + 1 roundings within s. It is essential that
s is complete before it is subtracted (a product that accumulates into A might round a_ij b times).
Divide by the roundings of the subtractions up to the last, as in Higham (2002), lemma 8.4: a_ij
becomes exact, a product of panel t bears at most (b + 1) + (t - 1) factors (1 + δ)^±1, and the
result w_ij, found in panel t, bears t. Next, W = L D up to r, |r| ≤ γ_7 |L||D|:

- 1×1: l = fl(w/d), so |w - l d| ≤ γ_1 |l d|.
- 2×2, D = [[a, c], [c, b]] with |a b| ≤ c²/2 (the pivot rule gives 0.42; `signs` checks it). With
  α = a/c: l₂ = (w₁ - α w₂) / (c - α b), l₁ = (w₂ - b l₂) / c. The second equation holds up to
  γ_2 (|c l₁| + |b l₂|). Put into the first, it leaves γ_4 |a l₁| + γ_3 |c l₂| + γ_8 |α b l₂|,
  and |α b| ≤ |c|/2, so both are within γ_7 |D||l|.

Together: at most b + t + 7 roundings, and (*) has one more to spare. Underflow adds, per product or
quotient, 2⁻¹⁰⁷⁵ times its further factors: at most `_underflow` in norm.

*Norm.* ‖E‖₂ ≤ ‖M‖₂ for the non-negative symmetric M on the right of (*), and for every x > 0
‖M‖₂ ≤ max_i (M x)_i / x_i (Collatz & Wielandt; Horn & Johnson, corollary 8.1.31). x = 1 gives the
∞-norm; a few steps of the power method give nearly ‖M‖₂. M x costs O(n²) and is a sum of
non-negative terms, whose rounding is a factor 1 + γ.

*Order.* With s = M x / x also -diag(s) ⪯ E ⪯ diag(s), for 2 |y_i y_j| ≤ (x_j / x_i) y_i² +
(x_i / x_j) y_j². Where A is graded, rows of small numbers have small s; a norm would know the
largest only.

*Signs.* By Sylvester's law of inertia A + E has the signs of D: a 1×1 block that of its entry; a
2×2 block one of each, because fl(fl(a/c) fl(b/c)) ≤ 1/2 proves a b < c².
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from morsescape.rounding.floats import U, gamma, perron_bound

BLOCK = 128  # columns in a panel: fewer would round less, but halve the speed of the update
_ROWS, _COLUMNS = 256, 2048  # of a tile of the update; one tile of products stays in the cache
_ALPHA = (1 + math.sqrt(17)) / 8  # Bunch & Kaufman's threshold: balances the growth of both kinds
_PERRON_STEPS = 4

Array = np.ndarray
Step = Callable[[int], None]


@dataclass
class Factor:
    """D and what is needed to bound E; L is where `factor` was told to put it.

    Attributes:
        lower: (n, n); the strict lower triangle is that of L, zero within 2×2 blocks.
        diagonal: (n,) of D.
        coupling: (n,), entry k is D[k+1, k]: nonzero where a 2×2 block starts.
        order: (n,), row i of L belongs to row order[i] of A.
        panel: (n,), t of each column, from 1.
        shifted_diagonal: (n,) of A + shift, as rounded.
    """

    lower: Float64[Tensor, "n n"]
    diagonal: Array
    coupling: Array
    order: Array
    panel: Array
    shifted_diagonal: Array

    def signs(self) -> tuple[int, int] | None:
        """Numbers of negative and positive eigenvalues of L D Lᵀ; None where not certain."""
        two = np.flatnonzero(self.coupling)
        single = np.ones(len(self.diagonal), bool)
        single[two] = single[two + 1] = False
        c = self.coupling[two]
        with np.errstate(all="ignore"):
            product = np.abs(self.diagonal[two] / c) * np.abs(self.diagonal[two + 1] / c)
        finite = np.isfinite(self.diagonal).all() and np.isfinite(self.coupling).all()
        if not (finite and (product <= 0.5).all()):
            return None
        d = self.diagonal[single]
        return int((d < 0).sum()) + len(two), int((d > 0).sum()) + len(two)

    @np.errstate(all="ignore")  # an overflow ends in a bound that is not finite
    def bound(self) -> float:
        """An upper bound on ‖E‖₂, with the rounding of the shift; inf or nan if L overflowed.

        Replaces L by |L| in place.
        """
        n = len(self.diagonal)
        if n == 0:
            return 0.0
        times = self._error()
        best = perron_bound(lambda x: torch.from_numpy(times(x.numpy())), n, _PERRON_STEPS)
        shift = U * float(np.abs(self.shifted_diagonal).max())
        return (best * (1 + gamma(2 * n + 20)) + shift + times.underflow()) * (1 + 4 * U)

    @np.errstate(all="ignore")
    def spread(self, v: Array) -> Array:
        """The numbers e = M v / v, with -diag(e) ⪯ E ⪯ diag(e), for v in [1, 2⁴⁰] of A's rows.

        For |E| ≤ M and 2 |x_i x_j| ≤ (v_j / v_i) x_i² + (v_i / v_j) x_j². The rounding of the shift
        is in it; inf or nan if L overflowed. Replaces L by |L| in place.
        """
        n = len(self.diagonal)
        e = np.zeros(n)
        if n == 0:
            return e
        times, x = self._error(), v[self.order]
        e[self.order] = times(x) / x * (1 + gamma(2 * n + 20)) + times.underflow()
        return (e + U * np.abs(self.shifted_diagonal)) * (1 + 8 * U)

    def _error(self) -> _Error:
        _absolute(self.lower)
        weights = np.array([gamma(BLOCK + t + 8) for t in range(int(self.panel.max()) + 1)])
        return _Error(self.lower, np.abs(self.diagonal), np.abs(self.coupling), weights[self.panel])


@dataclass
class _Error:
    """The matrix M of (*), to multiply by; `largest` bounds |l| once it has met an x."""

    lower: Tensor
    d: Array
    c: Array
    weights: Array
    largest: float = 1.0

    def __call__(self, x: Array) -> Array:
        y = _multiply(self.lower, x, transposed=True)
        self.largest = max(self.largest, float(y.max() / x.min()))  # no |l| is larger
        z = self.d * y
        z[:-1] += self.c[:-1] * y[1:]
        z[1:] += self.c[:-1] * y[:-1]
        z *= self.weights
        return _multiply(self.lower, z, transposed=False)

    def underflow(self) -> float:
        """`_underflow` of this factorisation."""
        return _underflow(len(self.d), float(max(self.d.max(), self.c.max())), self.largest)


def _underflow(n: int, size: float, largest: float) -> float:
    """All underflows together, in norm, also those of the bound itself.

    A product l w that underflows is off by η = 2⁻¹⁰⁷⁵. A quotient that does leaves at most
    4 η (1 + |D|)(1 + |L|) in w = D l, and that times |l| in E. There are n of them per entry, and
    ‖·‖₂ ≤ n max |·|. In the bounds, factors 1 / x ≤ 10⁶ and x ≤ 2⁴⁰ come in: hence 2⁻¹⁰³⁰.
    """
    with np.errstate(all="ignore"):
        return float(16.0 * n * n * (1 + size) * np.float64(1 + largest) ** 2) * 2.0**-1030


def _absolute(lower: Tensor) -> None:
    """Replace the strict lower triangle by its absolute values."""
    for i, j in _strips(len(lower)):
        lower[i:j, :i].abs_()
        tile = lower[i:j, i:j].numpy()
        np.abs(tile, out=tile, where=_strict(j - i))


def _multiply(lower: Tensor, x: Array, *, transposed: bool) -> Array:
    """(I + strict lower) x, or its transpose times x."""
    vector, out = torch.from_numpy(x), torch.from_numpy(x.copy())
    for i, j in _strips(len(lower)):
        strip, tile = lower[i:j, :i], lower[i:j, i:j].tril(-1)
        if transposed:
            out[:i] += strip.t() @ vector[i:j]
            out[i:j] += tile.t() @ vector[i:j]
        else:
            out[i:j] += strip @ vector[:i] + tile @ vector[i:j]
    return out.numpy()


def restore(matrix: Float64[Tensor, "n n"]) -> None:
    """Copy the upper triangle into the lower one, tile by tile, in place."""
    for i, j in _strips(len(matrix)):
        for k in range(0, i, _ROWS):
            matrix[i:j, k : k + _ROWS] = matrix[k : k + _ROWS, i:j].t()
        tile = matrix[i:j, i:j].numpy()
        np.copyto(tile, tile.T.copy(), where=_strict(j - i))


def factor(
    matrix: Float64[Tensor, "n n"], shift: float | Array, step: Step | None = None
) -> Factor:
    """Factor matrix + diag(shift); reads the lower triangle, writes L over the strict lower one.

    The diagonal and the upper triangle stay as they are.

    Args:
        matrix: rows contiguous.
        shift: added to the diagonal, a number or one for each row.
        step: called with the number of columns done, after each panel.
    """
    work = _Elimination(matrix, shift)
    with np.errstate(all="ignore"):  # an overflow ends in a bound that is not finite
        while work.start < len(matrix):
            work.panel()
            work.update()
            if step is not None:
                step(work.start)
    return work.result


@dataclass
class _Elimination:
    """The state of `factor`: columns before `start` are done, `count` more are in the panel.

    `rows_l` and `rows_w` hold the panel's columns of L and of W = L D as rows.
    """

    matrix: Tensor
    shift: float | Array
    start: int = 0
    count: int = 0
    number: int = 0
    a: Array = field(init=False)
    diagonal: Array = field(init=False)
    rows_l: Array = field(init=False)
    rows_w: Array = field(init=False)
    result: Factor = field(init=False)

    def __post_init__(self) -> None:
        n = len(self.matrix)
        self.a = self.matrix.numpy()
        self.diagonal = self.a.diagonal() + self.shift
        self.rows_l, self.rows_w = np.empty((BLOCK + 1, n)), np.empty((BLOCK + 1, n))
        self.torch_l, self.torch_w = torch.from_numpy(self.rows_l), torch.from_numpy(self.rows_w)
        self.tile = torch.empty(_ROWS * _COLUMNS, dtype=torch.float64)
        self.result = Factor(
            self.matrix,
            np.zeros(n),
            np.zeros(n),
            np.arange(n),
            np.zeros(n, int),
            self.diagonal.copy(),
        )

    def panel(self) -> None:
        """Eliminate columns until the panel is full; a last 2×2 block may make it b + 1 wide."""
        self.count, self.number = 0, self.number + 1
        while self.count < BLOCK and self.start + self.count < len(self.a):
            self._pivot(self.start + self.count)

    def _pivot(self, k: int) -> None:
        """Choose the next pivot by rook pivoting and eliminate with it.

        A diagonal entry that is large in its column is taken; otherwise the search goes on from
        the largest entry of the column to that of its row, until one is the largest of both.
        """
        i, w = k, self._column(k, k)
        r, largest = self._largest(w, k, i)
        if abs(w[0]) >= _ALPHA * largest:
            return self._eliminate_one(k, w)
        while True:
            v = self._column(r, k)
            v[i - k] = w[r - k]  # the same entry, computed twice: let it be one number
            j, size = self._largest(v, k, r)
            if abs(v[r - k]) >= _ALPHA * size:
                self._move(k, r, k, (v,))
                return self._eliminate_one(k, v)
            if not size > largest:  # no entry is larger in either column
                self._move(k, i, k, (w, v))
                self._move(k + 1, r, k, (w, v))
                return self._eliminate_two(k, w, v)
            i, r, w, largest = r, j, v, size

    def _largest(self, column: Array, k: int, j: int) -> tuple[int, float]:
        """Row and size of the largest entry of column j off the diagonal."""
        size = np.abs(column)
        size[j - k] = 0
        row = int(size.argmax())
        return k + row, float(size[row])

    def _column(self, j: int, k: int) -> Array:
        """Rows k, …, n - 1 of column j, with all that was eliminated so far."""
        out = np.empty(len(self.a) - k)
        out[: j - k] = self.a[j, k:j]
        out[j - k] = self.diagonal[j]
        out[j - k + 1 :] = self.a[j + 1 :, j]
        if self.count:
            p = self.count
            out -= torch.mv(self.torch_l[:p, k:].t(), self.torch_w[:p, j]).numpy()
        return out

    def _move(self, i: int, r: int, k: int, columns: tuple[Array, ...]) -> None:
        """Swap rows and columns i and r ≥ i.

        Column i is in `columns` by now, so only what was in i need be written, over r.
        """
        if i == r:
            return
        a, p = self.a, self.count
        a[r, i + 1 : r] = a[i + 1 : r, i]
        a[r + 1 :, r] = a[r + 1 :, i]
        self.diagonal[r] = self.diagonal[i]
        a[[i, r], : self.start] = a[[r, i], : self.start]
        for rows in (self.rows_l, self.rows_w):
            rows[:p, [i, r]] = rows[:p, [r, i]]
        for x in columns:
            x[[i - k, r - k]] = x[[r - k, i - k]]
        order = self.result.order
        order[[i, r]] = order[[r, i]]

    def _eliminate_one(self, k: int, w: Array) -> None:
        # A column that is zero altogether is a pivot 0 with l = 0, exactly.
        self.result.diagonal[k] = w[0]
        self._store(k, w, w / w[0] if w.any() else np.zeros_like(w))

    def _eliminate_two(self, k: int, w: Array, v: Array) -> None:
        a, c, b = w[0], w[1], v[1]
        self.result.diagonal[k : k + 2] = a, b
        self.result.coupling[k] = c
        ratio = a / c
        second = (w - ratio * v) / (c - ratio * b)
        first = (v - b * second) / c
        first[:2], second[:2] = (1, 0), (0, 1)
        self._store(k, w, first)
        self._store(k + 1, v, second)

    def _store(self, k: int, w: Array, column: Array) -> None:
        start = len(self.a) - len(w)
        self.rows_w[self.count, start:], self.rows_l[self.count, start:] = w, column
        self.result.panel[k] = self.number
        self.count += 1

    def update(self) -> None:
        """Write the panel's L into the matrix and subtract L Wᵀ from what is right of it."""
        begin, end, n = self.start, self.start + self.count, len(self.a)
        self.a[end:, begin:end] = self.rows_l[: self.count, end:].T
        for i in range(begin + 1, end):
            self.a[i, begin:i] = self.rows_l[: i - begin, i]
        left, right = self.torch_l[: self.count], self.torch_w[: self.count]
        for i in range(end, n, _ROWS):
            j = min(i + _ROWS, n)
            strip = left[:, i:j].t().contiguous()
            for k in range(end, i, _COLUMNS):
                m = min(k + _COLUMNS, i)
                tile = self.tile[: (j - i) * (m - k)].view(j - i, m - k)
                # Two steps on purpose: addmm would round in an order that is not ours to prove.
                torch.mm(strip, right[:, k:m], out=tile)
                self.matrix[i:j, k:m].sub_(tile)
            square = strip @ right[:, i:j]
            self.diagonal[i:j] -= square.diagonal().numpy()
            self.matrix[i:j, i:j].sub_(square.tril_(-1))  # x - 0 leaves the upper triangle
        self.start = end


def _strips(n: int) -> list[tuple[int, int]]:
    return [(i, min(i + _ROWS, n)) for i in range(0, n, _ROWS)]


def _strict(n: int) -> Array:
    """Where the strict lower triangle of an n × n tile is."""
    return _MASK[:n, :n]


_MASK = np.tri(_ROWS, k=-1, dtype=bool)
