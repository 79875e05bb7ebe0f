r"""Lanczos' method: a few eigenpairs of a symmetric operator known by its products.

With V an orthonormal basis of the Krylov space of a start, H = Vᵀ A V, and Q the block that comes
next,

    A V = V H + Q B Eᵀ + K C,        Eᵀ: the last rows,  K: known vectors that are kept out.

An eigenpair (θ, s) of H gives a Ritz pair (θ, v = V s) with ‖A v - θ v‖² = ‖B Eᵀ s‖² + ‖C s‖², and
as A is symmetric some eigenvalue λ of A has |λ - θ| ≤ ‖A v - θ v‖ / ‖v‖. That says how near, not
which: an eigenvalue to which the start is orthogonal, or a second copy of one, may be missed. Ritz
values bound counts of negative eigenvalues from below, never from above.

Each new block is orthogonalised against the whole basis, twice (Kahan: twice is enough); without
that, copies of converged eigenvalues appear. When the basis is full it is restarted with the wanted
Ritz vectors (thick restart), for which the relation above holds again.

Source: Lanczos (1950); Parlett, The Symmetric Eigenvalue Problem (1998), chapters 11 to 13; Wu &
Simon, SIAM J. Matrix Anal. Appl. 22 (2000), thick restart.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import torch
from jaxtyping import Float64
from torch import Tensor

from morsescape.errors import ArgumentError

MEMORY = 2**30  # bytes of a basis, unless more vectors are asked for than that holds
_U = torch.finfo(torch.float64).eps / 2
_LOST = 1e-12  # share of a block's size below which what orthogonalisation leaves is rounding
_SLAB = 2**22  # numbers of the basis that are rotated at a time

Product = Callable[[Tensor], Tensor]
Order = Callable[[Tensor], Tensor]


def smallest(values: Tensor) -> Tensor:
    """From the smallest up."""
    return torch.arange(len(values))


def largest(values: Tensor) -> Tensor:
    """From the largest down."""
    return torch.arange(len(values)).flip(0)


def ends(values: Tensor) -> Tensor:
    """The smallest, the largest, the next to the smallest, and so on."""
    both = torch.stack([smallest(values), largest(values)], 1)
    return both.flatten()[: len(values)]


class Ended(Enum):
    """Why the process ended."""

    SETTLED = "what was asked for has settled"
    INVARIANT = "the space is invariant: all its Ritz pairs are eigenpairs, up to rounding"
    LIMIT = "the limit of products was reached"
    NOT_FINITE = "a product was NaN or infinite; what was known before it is given"


@dataclass(frozen=True, eq=False)
class Ritz:
    """Ritz pairs, most wanted first.

    Attributes:
        values: θ, shape (k,).
        vectors: orthonormal up to rounding, shape (D, k).
        residuals: bounds on ‖A v - θ v‖, shape (k,): within each lies an eigenvalue of A. The
            rounding of this process is in them, that of the products is not.
        projected: H = Vᵀ A V at the end, shape (m, m); tridiagonal for a single start without
            restarts, and then its first basis vector is the start.
        products: vectors to which A was applied.
        ended: why.
    """

    values: Float64[Tensor, " k"]
    vectors: Float64[Tensor, "D k"]
    residuals: Float64[Tensor, " k"]
    projected: Float64[Tensor, "m m"]
    products: int
    ended: Ended

    def __repr__(self) -> str:
        worst = float(self.residuals.max()) if len(self.residuals) else 0.0
        return (
            f"Ritz({len(self.values)} pairs, residuals up to {worst:.2g}, {self.products} products:"
            f" {self.ended.value})"
        )


def lanczos(
    product: Product,
    start: Float64[Tensor, "D"] | Float64[Tensor, "D b"],
    *,
    count: int | None = None,
    order: Order = smallest,
    tol: float = 1e-8,
    settled: Callable[[Krylov], bool] | None = None,
    every: int = 4,
    size: int | None = None,
    products: int | None = None,
    known: Float64[Tensor, "D p"] | None = None,
    seed: int = 0,
    memory: int = MEMORY,
) -> Ritz:
    """The most wanted Ritz pairs of A in a Krylov space of the start.

    Args:
        product: v -> A v for a symmetric A: vectors (D,) for a start of that shape, blocks (D, b)
            with b ≤ the columns of the start otherwise. A block finds eigenvalues of multiplicity
            up to b.
        start: not zero; columns that depend on the others are left out.
        count: how many pairs; None gives all of the space, without restarts.
        order: values ascending -> their places, most wanted first: `smallest`, `largest`, `ends`.
        tol: settled when the residuals are below this share of the largest |θ|.
        settled: another way to end, asked every `every` products.
        every: products between two looks, each O(m³).
        size: dimension of the space at most; when it is full it is restarted, with `count`. By
            default 100 and some, as `memory` allows.
        products: at most so many; by default `size`, or with `count` 100 times that.
        known: orthonormal vectors that are kept out of the space, such as eigenvectors found.
        seed: of random vectors, drawn where the space is invariant with fewer than `count` pairs.
        memory: bytes of the basis where `size` is not given.

    Raises:
        ArgumentError: a start that is zero, not finite, or inside the known space; sizes below 1.

    Example:
        >>> import torch
        >>> from morsescape.spectrum.lanczos import lanczos
        >>> diagonal = torch.linspace(-1, 1, 500).double()
        >>> start = torch.ones(500).double()
        >>> low = lanczos(lambda v: diagonal * v, start, count=2, tol=1e-10)
        >>> low.values, low.ended.name
        (tensor([-1.0000, -0.9960], dtype=torch.float64), 'SETTLED')
    """
    block = start if start.ndim == 2 else start[:, None]
    width, n = block.shape[1], len(block)
    size = _size(n, width, count, size, memory)
    most = products or (size if count is None else 100 * size)
    if count is not None and count < 1:
        raise ArgumentError("count", expected="1 or more", got=count, cure="ask for one")
    space = Krylov(product if start.ndim == 2 else _by_columns(product), n, size, known)
    generator = torch.Generator().manual_seed(-1 - seed)  # other numbers than `random_start`'s
    if not (bool(block.isfinite().all()) and space.begin(block)):
        raise ArgumentError(
            "start", expected="finite vectors that are not zero", got="none", cure="draw one"
        )
    ended, looked = None, 0
    while ended is None:
        ended = _grow(space, count, most, width, generator)
        if ended is None and space.products - looked >= every:
            looked = space.products
            if settled(space) if settled is not None else space.found(count, order, tol):
                ended = Ended.SETTLED
        if ended is None and count is not None and space.full:
            space.restart(order, max(count, min(2 * count, size - 2 * width)))
    return space.ritz(count, order, ended)


def random_start(dim: int, columns: int | None = None, *, seed: int = 0) -> Tensor:
    """A start drawn from a generator of its own: (dim,), or (dim, columns)."""
    generator = torch.Generator().manual_seed(seed)
    shape = (dim,) if columns is None else (dim, columns)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


class Krylov:
    """The basis V, the projection H and what sticks out, as they grow."""

    def __init__(self, product: Product, dim: int, size: int, known: Tensor | None) -> None:
        self.product, self.known = product, None if known is None else known.t()
        self.basis = torch.empty(size, dim, dtype=torch.float64)  # V's columns, as rows
        self.h = torch.zeros(size, size, dtype=torch.float64)
        self.kept_out = torch.zeros(0 if known is None else known.shape[1], size).double()
        self.m = 0  # dimension of the space
        self.next = torch.empty(0, dim, dtype=torch.float64)  # Q, as rows
        self.coupling = torch.zeros(0, size, dtype=torch.float64)  # B Eᵀ
        self.products = 0
        self.rounding = 0.0  # bound on what rounding added to A V - V H, roughly

    def begin(self, block: Tensor) -> bool:
        """Continue with new vectors, that A V has no part in; False if nothing is left of them."""
        rows = block.t() / block.abs().max().clamp_min(1e-300)
        self.next, _ = self._continued(self._apart(rows)[0], float(rows.norm()))
        self.coupling = torch.zeros(len(self.next), self.basis.shape[0]).double()
        return len(self.next) > 0

    @property
    def full(self) -> bool:
        """Whether the next block has no room."""
        return self.m + len(self.next) > len(self.basis)

    def extend(self) -> bool:
        """Take Q into the basis and multiply by it; False, and nothing changes, if not finite."""
        moved = self.product(self.next.t()).t()
        self.products += len(self.next)
        size = float(moved.norm())
        if not math.isfinite(size):
            return False
        here = slice(self.m, self.m + len(self.next))
        self.basis[here], self.m = self.next, here.stop
        rest, (inside, outside) = self._apart(moved)
        # What is known of the new columns of H from the rows before them, and what is new.
        before, own = self.coupling[:, : here.start].t(), inside[here.start :]
        self.h[: here.start, here], self.h[here, : here.start] = before, before.t()
        self.h[here, here] = (own + own.t()) / 2
        self.kept_out[:, here] = outside
        self.next, upper = self._continued(rest, size)
        self.coupling = torch.zeros(len(self.next), len(self.basis)).double()
        self.coupling[:, here] = upper
        # What H leaves of A V besides: rounding that no residual shows.
        lost = float((inside - self.h[: self.m, here]).norm())
        lost += float((rest - upper.t() @ self.next).norm()) + 4 * (self.m + 8) * _U * size
        self.rounding = math.hypot(self.rounding, lost)
        return True

    def coupled(self, rotation: Tensor) -> Tensor:
        """B Eᵀ S: what A V S has along the next block."""
        return self.coupling[:, : self.m] @ rotation

    def decomposed(self) -> tuple[Tensor, Tensor, Tensor]:
        """θ ascending, S, and the residual of each Ritz pair."""
        values, rotation = torch.linalg.eigh(self.h[: self.m, : self.m])
        out = self.coupled(rotation).square().sum(0)
        out += (self.kept_out[:, : self.m] @ rotation).square().sum(0)
        return values, rotation, (out.sqrt() + self.rounding) * (1 + 1e-9)

    def found(self, count: int | None, order: Order, tol: float) -> bool:
        """Whether the wanted pairs have settled."""
        if count is None or self.m < count:
            return False
        values, _, residuals = self.decomposed()
        size = float(values.abs().max())
        return float(residuals[order(values)[:count]].max()) <= tol * size

    def vectors(self, rotation: Tensor) -> Tensor:
        """V S, shape (D, k)."""
        return self.basis[: self.m].t() @ rotation

    def restart(self, order: Order, kept: int) -> None:
        """Go on with the `kept` most wanted Ritz vectors as basis."""
        values, rotation, _ = self.decomposed()
        places = order(values)[:kept]
        values, rotation = values[places], rotation[:, places]
        step = max(1, _SLAB // self.m)
        for start in range(0, self.basis.shape[1], step):
            columns = slice(start, start + step)
            self.basis[:kept, columns] = rotation.t() @ self.basis[: self.m, columns]
        coupling = self.coupled(rotation)
        outside = self.kept_out[:, : self.m] @ rotation
        self.m = kept
        for matrix in (self.h, self.coupling, self.kept_out):
            matrix.zero_()
        self.h[:kept, :kept] = values.diag()
        self.coupling[:, :kept], self.kept_out[:, :kept] = coupling, outside

    def ritz(self, count: int | None, order: Order, ended: Ended) -> Ritz:
        """The most wanted pairs."""
        values, rotation, residuals = self.decomposed()
        places = order(values)[:count]
        return Ritz(
            values[places],
            self.vectors(rotation[:, places]),
            residuals[places],
            self.h[: self.m, : self.m].clone(),
            self.products,
            ended,
        )

    def _continued(self, rows: Tensor, size: float) -> tuple[Tensor, Tensor]:
        """Orthonormal rows Q and R with rows = Rᵀ Q, but for what is rounding against `size`."""
        if len(rows) == 1:
            length = float(rows.norm())
            if not length > _LOST * size:
                return rows[:0], rows.new_zeros(0, 1)
            return rows / length, rows.new_full((1, 1), length)
        q, r = torch.linalg.qr(rows.t())
        left, sizes, right = torch.linalg.svd(r)
        rank = int((sizes > _LOST * size).sum())
        # What was short beside the rest may not be orthogonal to the basis any more.
        q, turned = torch.linalg.qr(self._apart((q @ left[:, :rank]).t())[0].t())
        return q.t().contiguous(), turned @ (sizes[:rank, None] * right[:rank])

    def _apart(self, rows: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Orthogonal to the basis and to what is known; and the parts along them."""
        inside = torch.zeros(self.m, len(rows)).double()
        outside = torch.zeros(len(self.kept_out), len(rows)).double()
        for _ in range(2):
            if self.known is not None:
                along = self.known @ rows.t()
                rows, outside = rows - along.t() @ self.known, outside + along
            basis = self.basis[: self.m]
            along = basis @ rows.t()
            rows, inside = rows - along.t() @ basis, inside + along
        return rows, (inside, outside)


def _grow(
    space: Krylov, count: int | None, most: int, width: int, generator: torch.Generator
) -> Ended | None:
    """One block more; what ends the process, if something does."""
    if not len(space.next):
        if count is None or space.m >= min(count, space.basis.shape[1]):
            return Ended.INVARIANT
        columns = min(width, count - space.m)
        drawn = torch.randn(space.basis.shape[1], columns, generator=generator, dtype=torch.float64)
        if not space.begin(drawn):
            return Ended.INVARIANT
    if space.products + len(space.next) > most or space.full:
        return Ended.LIMIT
    return None if space.extend() else Ended.NOT_FINITE


def _by_columns(product: Product) -> Product:
    return lambda block: product(block[:, 0])[:, None]


def _size(n: int, width: int, count: int | None, size: int | None, memory: int) -> int:
    """Dimension of the space at most: room for what is wanted, its copy, and two blocks."""
    if size is None:
        least = 2 * width if count is None else 2 * count + 2 * width
        size = max(least, min(memory // (8 * n), 20 * width + 4 * (count or 25)))
    if size < 1:
        raise ArgumentError("size", expected="1 or more", got=size, cure="leave it out")
    if count is not None:
        size = max(size, count + 2 * width)
    return min(size, n)
