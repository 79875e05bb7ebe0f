r"""Critical points of a wider network from those of a narrower one: a zero unit added.

The parameters of one hidden unit are its incoming ones w (weights and bias) and its outgoing ones
v; r are all others. A unit with σ(0) = 0 that is added to a narrower network has, for all r, w, v,

    L(r, w, 0) = L(r, 0, v) = L(r, 0, 0) = L_narrow(r).                                      (1)

All derivatives of f = L + λ‖·‖² at (r, 0, 0) but ∂²/∂v∂w follow: ∇f is that of the narrower network
and zero, and Hess f is block diagonal, the narrower one's and

    T = [[2λ I, Mᵀ], [M, 2λ I]],   M = ∂²L/∂v∂w,

which is σ'(0) E[δ x̃ᵀ] for a dense layer (δ the derivative of the loss by the input of the next
layer, x̃ the layer's input with 1 for the bias). T has the eigenvalues 2λ ± s_i(M), and 2λ for the
rest. So (r, 0, 0) is critical where r is, and its index is that of r plus #{i: s_i > 2λ}.
docs/embedding.md has the proof, and that of several zero units.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from morsescape.boundary import a_count, a_seed, checked, instance
from morsescape.critical.certificate import Certificate
from morsescape.critical.certify import certify
from morsescape.critical.evaluations import Counted
from morsescape.critical.find import find_critical_point
from morsescape.critical.result import CriticalPoint, a_point
from morsescape.errors import ArgumentError
from morsescape.hessian.dense import hessian_on_box
from morsescape.hessian.enclosed_matrix import EnclosedMatrix
from morsescape.morse.sides import shortened
from morsescape.morse.widening import Widening
from morsescape.objective import Objective
from morsescape.paths.connect import connect
from morsescape.paths.curve import Curve
from morsescape.paths.height import height_of
from morsescape.paths.moves import Move
from morsescape.paths.path import Path
from morsescape.paths.symmetry import symmetries
from morsescape.rounding.balls import NoErrorRule
from morsescape.rounding.floats import down, sum_up, up
from morsescape.rounding.program import NotTraceable
from morsescape.spectrum.counts import Interval
from morsescape.spectrum.enclosed_eigenvalues import enclosed_eigenvalues
from morsescape.store.codec import Saved


@dataclass(frozen=True, eq=False)
class Embedding(Saved):
    """A critical point of a narrower network in a wider one, where its added units are zero.

    Attributes:
        theta: in the wider network, shape (D,).
        certificate: of the point in the narrower network. A critical point of the wider one is
            within its distance of θ.
        group: the units among which the zero ones are.
        units: which of them are zero.
        ridge: 2λ.
        singular_values: of M, descending, the same for each of the zero units.
        radius: what each of them, at the critical point itself, is off by at most.
        index: interval for the index of the critical point; (0, D) if nothing is known.
        directions: unit vectors along which T has the eigenvalues 2λ - s_i < 0 for each of the
            zero units, steepest first, shape (n, D).
        reason: why the index is an estimate or unknown; empty if it is proved, given (1).
    """

    theta: Tensor
    certificate: Certificate
    group: str
    units: tuple[int, ...]
    ridge: float
    singular_values: Tensor
    radius: float
    index: Interval
    directions: Tensor
    reason: str = ""

    @property
    def decided(self) -> bool:
        """Whether the index is one number."""
        return self.index[0] == self.index[1]

    def __str__(self) -> str:
        low, high = self.index
        index = f"index {low}" if self.decided else f"index {low} to {high}, undecided"
        values = ", ".join(f"{s:.4g}" for s in self.singular_values[:6].tolist())
        more = ", …" if len(self.singular_values) > 6 else ""
        why = f" ({self.reason})" if self.reason else ""
        return (
            f"{len(self.units)} zero units in {self.group}: {index}{why}; s = {values}{more} "
            f"(±{self.radius:.1g}) against 2λ = {self.ridge:.4g}"
        )


_OBJECTIVE = instance(Objective, "ms.Objective(model, loss, data) makes one")


def _some_units(argument: Any) -> Any:
    value = argument.value
    known = isinstance(value, Sequence) and all(type(u) is int and u >= 0 for u in value)
    if known and value and len(set(value)) == len(value):
        return tuple(value)
    raise argument.refused("different places of units, 0 or more, or None")


@checked(
    narrow=_OBJECTIVE, theta=a_point("narrow"), wide=_OBJECTIVE, units=_some_units,
    seed=a_seed(),
)  # fmt: skip
def embed(
    narrow: Objective,
    theta: Float64[Tensor, "d"] | CriticalPoint,
    wide: Objective,
    *,
    units: Sequence[int] | None = None,
    seed: int = 0,
) -> Embedding:
    """A critical point of a narrower network as one of a wider network, with its index there.

    Both have the same parameters by name, and those of the wider one have k more units in one
    group of interchangeable units. M is enclosed on a box that holds the critical point: a part of
    the wider network's Hessian. Where the gap between 2λ and all s_i is wider than the error, and
    the narrower point's index is proved, the index is one number, else an interval. Identities (1)
    are read off at random parameters, as symmetries are: evidence, not a proof. `ms.certify` on the
    wider network is a proof without them.

    Args:
        narrow: the objective of the narrower network.
        theta: its critical point, as good as float64 has it, shape (d,), or the result that has it.
        wide: that of the wider network, on the same data, with the same loss and λ.
        units: which of the wider network's units are zero; None takes the last ones.
        seed: of the random parameters.

    Raises:
        ArgumentError: networks that do not differ by units of one group; a unit whose (1) fails,
            such as one with σ(0) ≠ 0.

    Source:
        Fukumizu & Amari, Neural Networks 13 (2000) 317; for λ = 0 Şimşek et al., ICML 2021. The
        thresholds 2λ: docs/embedding.md.

    Example:
        >>> import torch, morsescape as ms
        >>> from morsescape.morse.embedding import embed
        >>> def net(h):
        ...     return torch.nn.Sequential(
        ...         torch.nn.Linear(1, h), torch.nn.Tanh(), torch.nn.Linear(h, 1, bias=False)
        ...     )
        >>> x = torch.tensor([[-1.0], [0.0], [1.0]]).double()
        >>> one, two = (ms.Objective(net(h), "mse", (x, x), l2=0.1) for h in (1, 2))
        >>> print(embed(one, torch.zeros(3).double(), two))  # M = -2 E[(x², x)] = -(4/3, 0)
        1 zero units in 0.weight[0]: index 2; s = 1.333 (±1e-14) against 2λ = 0.2
    """
    assert isinstance(theta, Tensor)
    fit = Widening.of(narrow, wide, units)
    incoming, outgoing = fit.halves(narrow, wide, seed)
    point = fit.widened(theta)
    certificate = certify(narrow, theta, seed=seed)
    reason = "" if certificate.proves(certificate.index[0]) else (
        f"in the narrower network: {certificate.status.value}"
    )  # fmt: skip
    hessian, missing = _hessian_around(wide, point, certificate.distance)
    block = hessian.matrix[outgoing[0]][:, incoming[0]]
    left, values, right = torch.linalg.svd(block, full_matrices=False)
    ridge = 2 * wide.l2
    radius = math.inf if missing else sum_up(hessian.radius, _error(block, values))
    index = (0, wide.dim)
    if certificate.holds and not missing:
        least = sum(down(s - radius) > ridge for s in values.tolist())
        most = sum(up(s + radius) >= ridge for s in values.tolist())
        low, high = certificate.index
        index = (low + len(fit.units) * least, high + len(fit.units) * most)
    directions = [
        _direction(wide.dim, (outgoing[u], left[:, i]), (incoming[u], -right[i]))
        for i in range(len(values)) for u in range(len(fit.units)) if values[i] > ridge
    ]  # fmt: skip
    return Embedding(
        theta=point, certificate=certificate, group=fit.group.name, units=fit.units, ridge=ridge,
        singular_values=values, radius=radius, index=index,
        directions=torch.stack(directions) if directions else point.new_zeros(0, wide.dim),
        reason="; ".join(filter(None, (reason, missing))),
    )  # fmt: skip


def _hessian_around(f: Objective, theta: Tensor, width: float) -> tuple[EnclosedMatrix, str]:
    """Hess L on the box, and what is missing for a proof."""
    why = "nothing is known of where the critical point is"
    if math.isfinite(width):
        try:
            found = hessian_on_box(f.source, theta, width)
            kinks = f"{found.kinks} branch decisions near the point" if found.kinks else ""
            return found, found.estimate or kinks
        except (NoErrorRule, NotTraceable, ValueError) as missing:
            why = f"no enclosure of M: {missing}"
    return f.hessian_at(theta, bounded=False).enclose(), why


def _error(block: Tensor, values: Tensor) -> float:
    """What computed singular values are off by: they are the eigenvalues of [[0, B], [Bᵀ, 0]]."""
    rows, columns = block.shape
    both = block.new_zeros(rows + columns, rows + columns)
    both[:rows, rows:], both[rows:, :rows] = block, block.t()
    found, error = enclosed_eigenvalues(both)
    largest = found.flip(0)[: len(values)]  # ±s_i, and zeros between
    return up(error + up(float((largest - values).abs().max())))


def _direction(dim: int, *parts: tuple[Tensor, Tensor]) -> Tensor:
    v = torch.zeros(dim, dtype=torch.float64)
    for where, values in parts:
        v[where] = values
    return v / v.norm()


# -- the flip of a unit ---------------------------------------------------------------------------


@checked(
    narrow=_OBJECTIVE, wide=_OBJECTIVE, minimum=a_point("wide"), unit=a_count(0), seed=a_seed(),
)  # fmt: skip
def flip_path(
    narrow: Objective,
    wide: Objective,
    minimum: Float64[Tensor, "D"] | CriticalPoint,
    unit: int,
    *,
    seed: int = 0,
) -> Path:
    """A path from a minimum to its copy with one unit flipped, through a point where it is zero.

    The copy is g m with g: (w, v) ↦ (-w, -v), a symmetry where σ is odd. A network without the unit
    is minimised from m's other parameters; its point e, with the unit zero, is fixed by g. A path
    from m to e and its image under g join m and g m, and f is the same on both. Its proved
    height is an upper bound of the lowest pass between m and g m; it is f(e) where e is the
    highest point, as at an e of index 1.

    Args:
        narrow: the objective without the unit.
        wide: the objective.
        minimum: m.
        unit: which one, of the group in which the networks differ.
        seed: of the searches.

    Raises:
        ArgumentError: as `embed`; a unit that no symmetry flips.

    Example:
        >>> import torch, morsescape as ms
        >>> from morsescape.morse.embedding import flip_path
        >>> def net(h):
        ...     return torch.nn.Sequential(
        ...         torch.nn.Linear(1, h), torch.nn.Tanh(), torch.nn.Linear(h, 1, bias=False)
        ...     )
        >>> x = torch.tensor([[-1.0], [0.0], [1.0]]).double()
        >>> one, two = (ms.Objective(net(h), "mse", (x, x), l2=0.1) for h in (1, 2))
        >>> m = ms.find_critical_point(two, seed=0)
        >>> path = flip_path(one, two, m, 0)
        >>> bool((path(0.0) + path(1.0))[two.source.slices["0.bias"]][0] == 0), path.height.estimate
        (True, None)
    """
    assert isinstance(minimum, Tensor)
    fit = Widening.of(narrow, wide, (unit,))
    fit.halves(narrow, wide, seed)
    if not fit.group.signs:
        raise ArgumentError(
            "unit", expected="one that a symmetry flips, as where σ(-x) = -σ(x)",
            got=f"units {fit.group.name}, which none flips", cure="take tanh",
        )  # fmt: skip
    zero = fit.widened(find_critical_point(narrow, minimum[fit.kept], seed=seed).theta)
    half = connect(wide, minimum, zero, align=False, prove=False, seed=seed)
    signs = torch.ones(len(fit.group.signs), fit.group.size, dtype=torch.float64)
    signs[0, unit] = -1.0
    known = symmetries(wide)
    flip = Move(signs={fit.group.name: signs})
    first, *rest = half.curve.joints.flip(0)
    slope = shortened(Counted(wide), rest)  # from below f(e): what is sampled may miss a little
    copy = [known.apply(p, flip) for p in slope]
    points = torch.stack([*reversed(slope), first, *copy])
    curve = Curve.chain(points)
    return Path(
        curve.pieces, height_of(wide, curve), "through a zero unit", gradients=half.gradients,
        note=f"f = {wide.value(zero):.10g} where the unit is zero", f=wide,
    )  # fmt: skip
