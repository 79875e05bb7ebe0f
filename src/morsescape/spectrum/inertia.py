"""The inertia of a Hessian as intervals that are proved, with what stands behind them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from morsescape.boundary import (
    a_boolean,
    a_function,
    a_vector,
    checked,
    choice,
    instance,
    matching,
)
from morsescape.errors import ArgumentError
from morsescape.hessian.dense import Hessian
from morsescape.hessian.second_opinion import second_opinion
from morsescape.objective import Objective
from morsescape.progress import Progress, stage
from morsescape.spectrum.counts import Interval, count_by_eigh, count_by_ldl
from morsescape.spectrum.kernel import Cause, null_causes
from morsescape.spectrum.naive import count_negative, raw_eigenvalues
from morsescape.spectrum.reduce import reduce
from morsescape.spectrum.structure import Structure, structure_of
from morsescape.store.codec import Saved, html_table

METHODS = ("ldl", "eigh")
_U = torch.finfo(torch.float64).eps / 2


class InertiaStatus(Enum):
    """What may be concluded from the counts."""

    PROVED = "all signs are proved, up to the null directions that are explained"
    UNDECIDED = "some eigenvalues are too close to zero for their sign to be proved"
    ON_KINK = (
        "the signs are those of one smooth piece: a branch is within rounding of its threshold, so "
        "f need not be twice differentiable here"
    )
    ESTIMATE = "the counts are an estimate: rounding could not be bounded"
    NOT_FINITE = "nothing is known: the loss or its Hessian is not finite here"


@dataclass(frozen=True)
class Inertia(Saved):
    """Numbers of negative, zero and positive eigenvalues of Hess f(θ), as closed intervals.

    For the exact Hessian of f on the stated samples, in real arithmetic, n₋ ∈ `negative`,
    n₀ ∈ `null`, n₊ ∈ `positive`, provided that `status` is neither ESTIMATE nor ON_KINK.

    Attributes:
        negative, null, positive: intervals (lo, hi) of integers.
        dim: D; the three numbers sum to it.
        radius: bound on the spectral norm of (computed - true), everything included; eigenvalues
            below -radius are negative, those above it positive, the rest undecided.
        radius_parts: where it comes from.
        null_explained: dimension of the null space of Hess L by cause.
        null_residuals: max |H v| / |v| by cause, for the computed H.
        structural_upper_bound: the index is at most this, by the structure of the network.
        structural_reason: why.
        not_smooth: operations that are not twice differentiable everywhere; Morse theory does not
            apply where there are any.
        kinks: branch decisions (ReLU, max) that are within rounding of their threshold.
        value: f(θ).
        grad_norm: ‖∇f(θ)‖.
        l2: λ.
        raw_negative: what counting signs of computed eigenvalues gives, by dtype; None unless
            asked for.
        eigenvalues: of Hess f(θ), ascending, each within `radius` of the true one if `method` is
            "eigh", otherwise LAPACK's, an estimate; None unless asked for.
        method: how signs were counted.
        status: what may be concluded.
        estimate: why the rounding could not be bounded, if status is ESTIMATE; else None.
    """

    negative: Interval
    null: Interval
    positive: Interval
    dim: int
    radius: float
    radius_parts: dict[str, float]
    null_explained: dict[str, int]
    null_residuals: dict[str, float]
    structural_upper_bound: int
    structural_reason: str
    not_smooth: tuple[str, ...]
    kinks: int
    value: float
    grad_norm: float
    l2: float
    raw_negative: dict[str, int] | None
    eigenvalues: tuple[float, ...] | None
    method: str
    status: InertiaStatus
    estimate: str | None = None

    def __str__(self) -> str:
        return (
            f"negative {_shown(self.negative)}, null {_shown(self.null)}, "
            f"positive {_shown(self.positive)} of {self.dim:,} (radius {self.radius:.1e}); "
            f"{self.conclusion}"
        )

    @property
    def conclusion(self) -> str:
        """The plain sentence that says what may be concluded at this point, taken by itself."""
        if self.grad_norm == 0:
            word = "the computed gradient is zero: an index if this is a critical point"
        else:
            word = (
                f"|grad f| = {self.grad_norm:.2g}: not proved critical, so this is a negative "
                "curvature count, not a Morse index"
            )
        smooth = f"; not twice differentiable ({', '.join(self.not_smooth)})"
        why = f", {self.estimate}" if self.estimate else ""
        return word + (smooth if self.not_smooth else "") + f"; {self._verdict()}{why}"

    def _verdict(self) -> str:
        if self.status is not InertiaStatus.PROVED or self.null != (0, 0):
            return self.status.value
        raised = sum(self.null_explained.values()) if self.l2 else 0
        made = f"; the {raised} null directions of L that are explained are positive by the ridge"
        return "all signs are proved" + (made if raised else "")

    @property
    def index(self) -> int | None:
        """n₋ where the interval is a single number; None where it is not."""
        return self.negative[0] if self.negative[0] == self.negative[1] else None

    def _repr_html_(self) -> str:
        names = ("negative", "null", "positive")
        rows = [(name, _shown(getattr(self, name))) for name in names]
        return html_table(rows, below=self.conclusion)

    def plot(self, ax: Any = None) -> Any:
        """Draw the eigenvalues as a histogram on a symlog axis, the undecided band shaded.

        Raises:
            ArgumentError: the eigenvalues were not kept.
        """
        if self.eigenvalues is None:
            raise ArgumentError(
                "eigenvalues",
                expected="an Inertia with its eigenvalues",
                got="none",
                cure='inertia(f, theta, method="eigh")',
            )
        from morsescape.figures import spectrum_histogram

        return spectrum_histogram(
            torch.tensor(self.eigenvalues, dtype=torch.float64),
            self.radius,
            ax=ax,
            intervals={k: getattr(self, k) for k in ("negative", "null", "positive")},
        )


@checked(
    f=instance(Objective, "ms.Objective(model, loss, data) makes one"), theta=a_vector("f"),
    method=choice(METHODS), raw=a_boolean(), overwrite=a_boolean(), progress=a_function(3),
    hessian=matching(Hessian, "f", lambda h: len(h.matrix), "pass f.enclosed_hessian(theta)"),
)  # fmt: skip
def inertia(
    f: Objective,
    theta: Float64[Tensor, "D"] | None = None,
    *,
    method: str = "ldl",
    raw: bool = False,
    hessian: Hessian | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Inertia:
    """The inertia of Hess f(θ): how many eigenvalues are negative, zero, positive, with proof.

    The computed Ĥ is within ρ of Hess f in spectral norm (Weyl's inequality): eigenvalues of Ĥ
    below -ρ are truly negative, those above ρ truly positive. ρ adds the rounding of the
    assembly, bounded by ball arithmetic, and that of the count, bounded by the backward error of
    two shifted LDLᵀ factorisations or by the residual of an eigendecomposition. Exactly known null
    vectors are taken out first. docs/proof.md derives all of it.

    Args:
        f: the landscape.
        theta: the point; None takes the model's own parameters.
        method: "ldl" counts signs only; "eigh", slower, computes all eigenvalues too.
        raw: also count signs naively, in float32 and float64 (networks only).
        hessian: Hess L(θ) from `f.enclosed_hessian(theta)`, if it is there already. It is compared
            with one Hessian-vector product of f at θ.
        overwrite: the matrix of `hessian` may be destroyed, which saves a copy. One that is made
            here takes its place alone in memory, with "ldl" and without `raw`.
        progress: called as progress(stage, done, total).

    Raises:
        ArgumentError: an unknown method, a point of the wrong shape, raw without a network, a
            Hessian that is not that of f at θ, `overwrite` with `raw`.

    Source:
        The paper counts signs of computed eigenvalues (section 5.1); Weyl: Horn & Johnson, Matrix
        Analysis, theorem 4.3.1.

    Example:
        >>> import torch, morsescape as ms
        >>> saddle = ms.Objective.from_function(lambda t: t[0] ** 2 - t[1] ** 2 + t[2] ** 4, 3)
        >>> print(ms.inertia(saddle, torch.zeros(3).double()))
        negative [1, 2], null [0, 1], positive [1, 2] of 3 (radius ...); the computed gradient is
        zero: an index if this is a critical point; some eigenvalues are too close to zero for
        their sign to be proved
    """
    if raw and f.network is None:
        raise ArgumentError(
            "raw",
            expected="an objective made from a network, which can be evaluated in float32",
            got="a function",
            cure="leave raw out",
        )
    if raw and overwrite:
        raise ArgumentError(
            "overwrite",
            expected="False where raw is asked for, which needs the matrix afterwards",
            got="True",
            cure="leave one of them out",
        )
    theta = f.theta if theta is None else theta
    value, gradient = f.value_and_gradient(theta)
    overwrite = overwrite or (hessian is None and not raw)
    handed = hessian is not None
    if hessian is None:
        hessian = f.enclosed_hessian(theta, progress=stage(progress, "Hessian"))
    structure = Structure(f.dim, "nothing is known of the structure", ())
    causes: tuple[Cause, ...] = ()
    if f.network is not None:
        structure = structure_of(f.network)
    blank = Inertia(
        negative=(0, structure.upper_bound),
        null=(0, f.dim),
        positive=(0, f.dim),
        dim=f.dim,
        radius=float("inf"),
        radius_parts=dict(hessian.radius_parts),
        null_explained={},
        null_residuals={},
        structural_upper_bound=structure.upper_bound,
        structural_reason=structure.reason,
        not_smooth=structure.not_smooth,
        kinks=hessian.kinks,
        value=value,
        grad_norm=float(gradient.norm()),
        l2=f.l2,
        raw_negative=None,
        eigenvalues=None,
        method=method,
        status=InertiaStatus.NOT_FINITE,
        estimate=hessian.estimate,
    )
    if not (math.isfinite(value) and hessian.finite):
        return blank
    doubt = second_opinion(f, theta, hessian)
    if doubt and handed:
        raise ArgumentError(
            "hessian",
            expected="Hess L at this theta, whose product with a vector autograd also computes",
            got=doubt,
            cure="pass f.enclosed_hessian(theta) of the same f and theta, unaltered",
        )
    if doubt:
        hessian = replace(hessian, estimate=hessian.estimate or doubt)
        blank = replace(blank, estimate=hessian.estimate)
    if f.network is not None:
        causes = null_causes(f.network, theta, hessian)
    counted = _count(blank, hessian, causes, overwrite, progress)
    return _with_raw(counted, f, theta, hessian) if raw else counted


def _count(
    blank: Inertia,
    hessian: Hessian,
    causes: tuple[Cause, ...],
    overwrite: bool,
    progress: Progress | None,
) -> Inertia:
    """Take the exact null vectors out, count the signs of what is left, put them back."""
    part = reduce(hessian.matrix, causes, overwrite=overwrite)
    radius, center = _sum_up(hessian.radius, part.radius), -2 * blank.l2
    if blank.method == "eigh":
        counts = count_by_eigh(part.matrix, radius, center=center)
    else:
        counts = count_by_ldl(
            part.matrix, radius, overwrite=True, center=center,
            progress=stage(progress, "inertia"),
        )  # fmt: skip
    known = part.exact_null
    # The lifted directions are counted as positive by now; what was cut out is not counted.
    low, high = counts.negative[0], min(counts.negative[1], blank.structural_upper_bound)
    sure = max(0, counts.positive[0] - part.lifted) + (known if blank.l2 > 0 else 0)
    nulls = known if blank.l2 == 0 else 0
    if low > high:  # two proofs that contradict each other
        raise RuntimeError(
            f"{low} negative eigenvalues are proved, but the structure allows {high} "
            f"({blank.structural_reason}): this is a defect of morsescape, please report it"
        )
    eigenvalues = None
    moved = 0.0  # by the last addition, of 2λ to each eigenvalue
    if counts.eigenvalues is not None:
        eigenvalues = part.all_eigenvalues(counts.eigenvalues) + 2 * blank.l2
        moved = _U * float(eigenvalues.abs().max()) if len(eigenvalues) else 0.0
    parts = blank.radius_parts | {"reduction": part.radius, "counting": counts.solver_radius}
    result = replace(
        blank,
        negative=(low, high),
        null=(nulls, blank.dim - low - sure),
        positive=(sure, blank.dim - low - nulls),
        radius=_sum_up(counts.radius, moved),
        radius_parts=parts,
        null_explained={c.name: c.dimension for c in causes},
        null_residuals={c.name: c.residual for c in causes},
        eigenvalues=None if eigenvalues is None else tuple(eigenvalues.tolist()),
    )
    return replace(result, status=_status(result, hessian))


def _sum_up(a: float, b: float) -> float:
    """A float64 number that is at least a + b."""
    return a + b if a == 0 or b == 0 else math.nextafter(a + b, math.inf)


def _status(result: Inertia, hessian: Hessian) -> InertiaStatus:
    if hessian.estimate is not None:
        return InertiaStatus.ESTIMATE
    if result.kinks:
        return InertiaStatus.ON_KINK
    if result.negative[0] == result.negative[1] and result.null[0] == result.null[1]:
        return InertiaStatus.PROVED
    return InertiaStatus.UNDECIDED


def _with_raw(result: Inertia, f: Objective, theta: Tensor, hessian: Hessian) -> Inertia:
    raw = raw_eigenvalues(f, theta, hessian.with_ridge(f.l2))
    counts = {dtype: count_negative(values) for dtype, values in raw.items()}
    eigenvalues = result.eigenvalues or tuple(raw["float64"].tolist())
    return replace(result, raw_negative=counts, eigenvalues=eigenvalues)


def _shown(interval: Interval) -> str:
    low, high = interval
    return str(low) if low == high else f"[{low}, {high}]"
