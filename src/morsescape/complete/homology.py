"""`sublevel_homology`: persistent homology of M_ε = {f ≤ ε} in a box, and what of it is proved.

With values on a grid interpolated to g, |f - g| bounded on every cell, {g ≤ b} ⊂ {f ≤ ε} ⊂ {g ≤ d}
for levels b ≤ ε ≤ d; so β_k({f ≤ ε}) is at least the rank of H_k({g ≤ b}) → H_k({g ≤ d}), which
is the number of bars of g that begin by b and end after d. With one bound δ for all cells the bars
of f and g match within δ (Cohen-Steiner, Edelsbrunner & Harer 2007), and those of g longer than 2δ
are bars of f; here the bound is that of the cells that matter at each level.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from morsescape.boundary import Argument, a_boolean, a_number, checked, instance
from morsescape.complete.on_boxes import Enclosures
from morsescape.complete.triangulation import Grid, Sandwich, enclosed_values
from morsescape.errors import ArgumentError
from morsescape.objective import Objective
from morsescape.rounding.balls import NoErrorRule
from morsescape.rounding.program import NotTraceable
from morsescape.spectrum.index_bound import structure_of
from morsescape.store.codec import Saved

_MOST = 8_000_000  # simplices or cubes: some gigabytes
_NUMBERS = 2**23  # of the inputs of a network, over all boxes that are enclosed at once
_DIMS = 4
_DEFAULT = {1: 400, 2: 100, 3: 24, 4: 10}
_FIELD = 2  # coefficients


@dataclass(frozen=True)
class Bar(Saved):
    """A class of homology that lives for birth ≤ ε < death, of the values on the grid.

    Attributes:
        degree: 0 for components, 1 for loops, 2 for hollows.
        birth, death: levels; infinity where it lives on at the highest level.
        sure: M_ε is proved to have it for sure[0] ≤ ε < sure[1]; None where for no ε.
    """

    degree: int
    birth: float
    death: float
    sure: tuple[float, float] | None = None

    @property
    def length(self) -> float:
        """How long it lives."""
        return self.death - self.birth


@dataclass(frozen=True)
class Barcode(Saved):
    """The persistent homology of the sublevel sets of f in a box, with coefficients in Z/2.

    Attributes:
        bars: by degree, from the longest down.
        box: lower and upper end along each axis.
        resolution: points along each axis.
        level: what lies above was left out; None where nothing.
        error: |f - g| is at most this on the whole box, proved; None without proof.
        estimate: why nothing is proved; None where something is.
    """

    bars: tuple[Bar, ...]
    box: tuple[tuple[float, float], ...]
    resolution: tuple[int, ...]
    level: float | None
    error: float | None
    estimate: str | None = None

    @property
    def proved(self) -> tuple[Bar, ...]:
        """The bars that M_ε is proved to have for some ε."""
        return tuple(bar for bar in self.bars if bar.sure)

    def betti(self, level: float) -> tuple[int, ...]:
        """Betti numbers at ε = `level`, degree 0 first: an estimate, by the values on the grid."""
        return self._count(level, [(bar.degree, bar.birth, bar.death) for bar in self.bars])

    def least_betti(self, level: float) -> tuple[int, ...]:
        """M_ε in the box has at least these Betti numbers: proved."""
        return self._count(level, [(bar.degree, *bar.sure) for bar in self.bars if bar.sure])

    def _count(self, level: float, lives: Sequence[tuple[int, float, float]]) -> tuple[int, ...]:
        if self.level is not None and not level <= self.level:
            raise ArgumentError(
                "level", expected=f"at most {self.level:g}", got=f"{level:g}",
                cure="what lies above was left out: ask for a higher level from the start",
            )  # fmt: skip
        alive = [degree for degree, birth, death in lives if birth <= level < death]
        return tuple(alive.count(k) for k in range(len(self.box)))

    def plot(self, ax: Any = None) -> Any:
        """The barcode: see `figures.barcode_figure`."""
        from morsescape.figures.barcode import barcode_figure

        return barcode_figure(self, ax)

    def __str__(self) -> str:
        counts = ", ".join(
            f"{sum(b.degree == k for b in self.bars)} of degree {k}" for k in range(len(self.box))
        )
        grid = " × ".join(map(str, self.resolution))
        head = f"{len(self.bars)} bars ({counts}) on {grid} points"
        if self.estimate:
            return f"{head}, an estimate: {self.estimate}"
        return (
            f"{head}, {len(self.proved)} of them proved of f in part; the rest, and the ends of "
            "all, are an estimate"
        )


def _a_box(argument: Argument) -> tuple[tuple[float, float], ...]:
    given = argument.others.get("subspace")
    dim = argument.others["f"].dim if given is None else len(given[1])
    rows = argument.value
    if isinstance(rows, int | float):
        rows = [(-rows, rows)] * dim
    try:
        box = tuple((float(low), float(high)) for low, high in rows)
    except (TypeError, ValueError) as error:
        raise argument.refused(f"r, or {dim} pairs (low, high)") from error
    good = all(math.isfinite(a) and math.isfinite(b) and a < b for a, b in box)
    if len(box) != dim or not good:
        raise argument.refused(f"r, or {dim} pairs (low, high) with low < high")
    return box


def _a_subspace(argument: Argument) -> tuple[Tensor, Tensor]:
    dim = argument.others["f"].dim
    expected = f"(origin, directions): shapes ({dim},) and (k, {dim}), directions independent"
    try:
        origin, directions = (
            torch.as_tensor(np.asarray(x), dtype=torch.float64) for x in argument.value
        )
    except (TypeError, ValueError, RuntimeError) as error:
        raise argument.refused(expected) from error
    good = origin.shape == (dim,) and directions.ndim == 2 and directions.shape[1] == dim
    if not good or not bool(origin.isfinite().all() and directions.isfinite().all()):
        raise argument.refused(expected)
    if len(directions) < 1 or int(torch.linalg.matrix_rank(directions)) < len(directions):
        raise argument.refused(expected)
    return origin, directions


def _a_resolution(argument: Argument) -> tuple[int, ...]:
    value = argument.value
    dim = len(argument.others["box"])
    found = (value,) * dim if isinstance(value, int) else tuple(value)
    if len(found) != dim or not all(isinstance(n, int) and n >= 2 for n in found):
        raise argument.refused(f"2 or more points, or {dim} such numbers")
    return found


@checked(
    f=instance(Objective, "ms.Objective(model, loss, data) makes one"), subspace=_a_subspace,
    box=_a_box, resolution=_a_resolution, level=a_number(), prove=a_boolean(),
)  # fmt: skip
def sublevel_homology(
    f: Objective,
    box: float | Sequence[tuple[float, float]],
    resolution: int | Sequence[int] | None = None,
    *,
    level: float | None = None,
    subspace: tuple[Float64[Tensor, "D"], Float64[Tensor, "k D"]] | None = None,
    prove: bool = True,
) -> Barcode:
    r"""Components, loops and hollows of M_ε = {f ≤ ε} in a box for every ε, in up to 4 dimensions.

    f is evaluated on a grid. With `prove`, it is interpolated linearly on the Freudenthal
    triangulation of the grid, Hess f is enclosed on every cell, and so |f - g| bounded to second
    order in the spacing: which bars M_ε has, and for which ε, is proved where they are long enough
    (`Bar.sure`). Without, or where Hess f cannot be enclosed (kinks, branches, operations without a
    rule), the grid is a cubical complex, each cube at its highest vertex, and all is an estimate.

    M_ε means the part of it in the box (and in the subspace): that of all of R^D only where it
    does not leave the box. Bars that are not proved may still be there; no upper bound of Betti
    numbers is proved.

    Args:
        f: the landscape.
        box: r for [-r, r]^d, or d pairs (low, high), in coordinates of the subspace.
        resolution: points along each axis; None is 400, 100, 24 or 10 for d = 1, …, 4.
        level: what lies above is left out.
        subspace: an origin and directions v₁, …, v_k: f on origin + Σ tᵢ vᵢ, as on planes through
            trained networks.
        prove: bound |f - g|.

    Raises:
        ArgumentError: more than 4 dimensions, a grid of too many points, a level below all values;
            GUDHI is not installed.

    Source:
        Cohen-Steiner, Edelsbrunner & Harer, Discrete Comput. Geom. 37 (2007): stability;
        Edelsbrunner & Harer, Computational Topology (2010), section VI.3: g and its complex;
        Horoi et al., IDA (2022): networks; Maria et al., ICMS (2014): GUDHI.

    Example:
        >>> import morsescape as ms
        >>> from morsescape.complete import sublevel_homology
        >>> code = sublevel_homology(ms.zoo.double_well.objective(), 2.0, 60)
        >>> code.betti(0.5), code.least_betti(0.5), code.betti(1.2), code.least_betti(1.2)
        ((2, 0), (2, 0), (1, 0), (1, 0))
    """
    gudhi = _gudhi()
    assert isinstance(box, tuple)
    dim = len(box)
    if dim > _DIMS:
        raise ArgumentError(
            "f", expected=f"at most {_DIMS} dimensions", got=str(dim),
            cure="take a plane: subspace=(origin, directions)",
        )  # fmt: skip
    counts = (_DEFAULT[dim],) * dim if resolution is None else tuple(resolution)  # type: ignore[arg-type]
    grid = Grid(torch.tensor(box, dtype=torch.float64).T, counts)
    size = grid.simplices if prove else 2**dim * math.prod(counts)
    if size > _MOST:
        raise ArgumentError(
            "resolution", expected=f"about {_MOST:,} simplices at most", got=f"{size:,}",
            cure="take fewer points, or prove=False",
        )  # fmt: skip
    plain = f if subspace is None else _restricted(f, *subspace)
    values, bound, why = _bounded(f, plain, grid) if prove else (None, None, "no proof asked for")
    if values is None or bound is None:
        values = _values(plain, grid)
        found, sandwich = _cubical(gudhi, values.reshape(grid.shape), level), None
    else:
        found = _simplicial(gudhi, grid, values, level)
        sandwich = Sandwich(grid.corners(values).min(0), bound)
    if not found:
        raise ArgumentError(
            "level", expected=f"above the least value, {values.min():g}", got=f"{level:g}",
            cure="leave it out for all levels",
        )  # fmt: skip
    bars = [Bar(k, b, d, _sure(sandwich, b, d, level)) for k, (b, d) in found]
    bars.sort(key=lambda bar: (bar.degree, -bar.length, bar.birth))
    error = None if bound is None else float(bound.max())
    return Barcode(tuple(bars), box, counts, level, error, why)


def _gudhi() -> Any:
    try:
        import gudhi
    except ImportError as error:
        raise ArgumentError(
            "sublevel_homology", expected="GUDHI", got="none installed",
            cure="pip install 'morsescape[homology]'",
        ) from error  # fmt: skip
    return gudhi


def _restricted(f: Objective, origin: Tensor, directions: Tensor) -> Objective:
    """F on a plane: exactly origin + tᵀ directions, whose rounding is enclosed with all other."""
    source = f.source
    ((x, y),) = source.chunks(source.samples)
    share = source.on(x, y)

    def on_plane(t: Tensor) -> Tensor:
        theta = origin + t @ directions
        value = share(theta)
        return value + f.l2 * (theta * theta).sum() if f.l2 else value

    return Objective.from_function(on_plane, len(directions))


Bounded = tuple[np.ndarray | None, np.ndarray | None, str | None]


def _bounded(f: Objective, plain: Objective, grid: Grid) -> Bounded:
    """Values and bounds on cells, or why there are none."""
    rough = structure_of(f.source).not_smooth
    if rough:
        return None, None, f"f has kinks, by {', '.join(rough)}"
    doubts = [*f.source.doubts, *plain.source.doubts]
    if doubts:
        return None, None, doubts[0]
    if plain is not f and f.source.loss.scale_error:
        return None, None, "the divisor of the loss is rounded"
    batch = max(1, _NUMBERS // (f.source.samples * f.source.sample_numbers))
    try:
        return *enclosed_values(Enclosures(plain), grid, batch), None
    except (NoErrorRule, NotTraceable) as missing:
        return None, None, f"f cannot be enclosed on cells: {missing}"


def _values(f: Objective, grid: Grid) -> np.ndarray:
    return np.array([f.value(point) for point in grid.points()])


Found = list[tuple[int, tuple[float, float]]]


def _simplicial(gudhi: Any, grid: Grid, values: np.ndarray, level: float | None) -> Found:
    """Each simplex at its highest vertex: the homology of {g ≤ ε}, exactly."""
    tree = gudhi.SimplexTree()
    for places in grid.faces():
        heights = values[places].max(0)
        kept = heights <= (math.inf if level is None else level)
        tree.insert_batch(places[:, kept], heights[kept])
    return list(tree.persistence(homology_coeff_field=_FIELD, persistence_dim_max=True))


def _cubical(gudhi: Any, values: np.ndarray, level: float | None) -> Found:
    cut = values if level is None else np.where(values <= level, values, np.inf)
    complex_ = gudhi.CubicalComplex(vertices=cut)
    found = complex_.persistence(homology_coeff_field=_FIELD)
    return [(k, (b, d)) for k, (b, d) in found if b < math.inf]


def _sure(
    sandwich: Sandwich | None, birth: float, death: float, level: float | None
) -> tuple[float, float] | None:
    """For which ε the bar is proved to be one of M_ε."""
    if sandwich is None:
        return None
    low = sandwich.up(birth)
    top = death if level is None else min(death, math.nextafter(level, math.inf))
    high = math.inf if top == math.inf else sandwich.down(top)
    return (low, high) if low < high else None
