"""The inertia of a Hessian as intervals that are proved, with what stands behind them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float64
from torch import Tensor

from morsescape.boundary import a_boolean, a_progress, a_vector, checked, choice, instance
from morsescape.errors import ArgumentError
from morsescape.hessian.regime import regime
from morsescape.hessian.value import Hessian
from morsescape.notebook import html_table
from morsescape.objective import Objective, hessian_of
from morsescape.progress import Asked, Progress, stage
from morsescape.rounding.floats import U, sum_up
from morsescape.spectrum.counts import Interval
from morsescape.spectrum.index_bound import structure_of
from morsescape.spectrum.naive import count_negative, raw_eigenvalues
from morsescape.spectrum.null_space import null_causes
from morsescape.spectrum.signs import Counter, counter, signs_known
from morsescape.store.codec import Saved

Method = Literal["ldl", "eigh"]
METHODS = get_args(Method)


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
        by_rows: whether errors were measured row by row, in the order of symmetric matrices; else
            by one norm. Row by row eigenvalues within `radius` of zero can be decided too.
        critical_within: how far a critical point with these signs is at most, by a certificate of
            the same Hessian; None without one.
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
    by_rows: bool = False
    critical_within: float | None = None

    def __str__(self) -> str:
        return (
            f"negative {_shown(self.negative)}, null {_shown(self.null)}, "
            f"positive {_shown(self.positive)} of {self.dim:,} (radius {self.radius:.1e}); "
            f"{self.conclusion}"
        )

    @property
    def conclusion(self) -> str:
        """The plain sentence that says what may be concluded at this point, taken by itself."""
        if self.critical_within is not None:
            word = f"a critical point of this index is proved within {self.critical_within:.2g}"
        elif self.grad_norm == 0:
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
        made = f"; the {raised} null directions of f without its ridge are positive by it"
        return "all signs are proved" + (made if raised else "")

    @property
    def index(self) -> int | None:
        """n₋ where the interval is a single number; None where it is not."""
        return self.negative[0] if self.negative[0] == self.negative[1] else None

    def _repr_html_(self) -> str:
        names = ("negative", "null", "positive")
        rows = [(name, _shown(getattr(self, name))) for name in names]
        rows.append(("radius", f"{self.radius:.2g}"))
        rows.append(("index at most", f"{self.structural_upper_bound:,}, {self.structural_reason}"))
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
    f=instance((Objective, Hessian), "ms.Objective(model, loss, data) makes a landscape"),
    theta=a_vector("f"), method=choice(METHODS), raw=a_boolean(), progress=a_progress(),
)  # fmt: skip
def inertia(
    f: Objective | Hessian,
    theta: Float64[Tensor, "D"] | None = None,
    *,
    method: Method = "ldl",
    raw: bool = False,
    progress: Asked = None,
) -> Inertia:
    """The inertia of Hess f(θ): how many eigenvalues are negative, zero, positive, with proof.

    The computed Ĥ is within ρ of Hess f in spectral norm (Weyl's inequality): eigenvalues of Ĥ
    below -ρ are truly negative, those above ρ truly positive. ρ adds the rounding of the
    assembly, bounded by ball arithmetic, and that of the count, bounded by the backward error of
    two shifted LDLᵀ factorisations or by the residual of an eigendecomposition. Where the errors
    are known entry by entry, the shifts are a number for each row, -diag(s) ⪯ Ĥ - H ⪯ diag(s),
    which decides small eigenvalues of graded matrices. Exactly known null vectors are taken out
    first. docs/proof.md derives all of it.

    Args:
        f: the landscape, or its Hessian at the point, `f.hessian_at(theta)`.
        theta: the point; None takes the model's own parameters.
        method: "ldl" counts signs only; "eigh", slower, computes all eigenvalues too. Signs that a
            certificate of the same Hessian has decided are taken as they are by "ldl".
        raw: also count signs naively, in float32 and float64 (networks only).
        progress: True for bars, or called as progress(stage, done, total).

    Raises:
        ArgumentError: an unknown method, a point of the wrong shape or beside a Hessian, raw
            without a network.

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
    assert progress is not True
    hessian, own = hessian_of(f, theta), isinstance(f, Objective)
    return inertia_of(hessian, method=method, raw=raw, progress=progress, spend=own)


@checked(
    f=instance((Objective, Hessian), "ms.Objective(model, loss, data) makes a landscape"),
    theta=a_vector("f"),
)
def eigenvalues(
    f: Objective | Hessian, theta: Float64[Tensor, "D"] | None = None, **options: Any
) -> Inertia:
    """All eigenvalues of Hess f(θ), each with a proved radius: `inertia` by "eigh".

    Args:
        f: the landscape, or its Hessian at the point.
        theta: the point; None takes the model's own parameters.
        options: `raw` and `progress`, as for `inertia`.

    Raises:
        ArgumentError: as `inertia`.

    Example:
        >>> import morsescape as ms
        >>> f = ms.Objective.from_function(lambda t: t[0] ** 2 - t[1] ** 2, 2)
        >>> found = ms.eigenvalues(f, [0.0, 0.0])
        >>> found.eigenvalues, found.radius < 1e-14
        ((-2.0, 2.0), True)
        >>> found.plot().get_xlabel()
        'eigenvalue of the Hessian'
    """
    return inertia(f, theta, method="eigh", **options)


def signs_at(hessian: Hessian, progress: Progress | None = None) -> Inertia:
    """`inertia` by the method that costs least beside what is asked of the Hessian elsewhere."""
    method = regime(hessian.dim).signs
    return inertia_of(hessian, method=method, progress=progress)


def inertia_of(
    hessian: Hessian, *, method: str, raw: bool = False, progress: Progress | None = None,
    spend: bool = False,
) -> Inertia:  # fmt: skip
    """`inertia` of a Hessian; with `spend`, "ldl" and not `raw`, it takes its place in memory."""
    f = hessian.f
    single = f.source.in_precision(torch.float32) if raw else None
    value, gradient = hessian.value_and_gradient()
    enclosed = hessian.enclose(stage(progress, "Hessian"))
    structure = structure_of(f.source)
    blank = Inertia(
        negative=(0, structure.upper_bound),
        null=(0, f.dim),
        positive=(0, f.dim),
        dim=f.dim,
        radius=float("inf"),
        radius_parts=dict(enclosed.radius_parts),
        null_explained={},
        null_residuals={},
        structural_upper_bound=structure.upper_bound,
        structural_reason=structure.reason,
        not_smooth=structure.not_smooth,
        kinks=enclosed.kinks,
        value=value,
        grad_norm=float(gradient.norm()),
        l2=f.l2,
        raw_negative=None,
        eigenvalues=None,
        method=method,
        status=InertiaStatus.NOT_FINITE,
        estimate=enclosed.estimate,
        critical_within=hessian.made.get("critical within"),
    )
    if not (math.isfinite(value) and hessian.finite):
        return blank
    causes = null_causes(f.source, hessian.theta, enclosed)
    blank = replace(
        blank,
        estimate=hessian.estimate,
        null_explained={c.name: c.dimension for c in causes},
        null_residuals={c.name: c.residual for c in causes},
    )
    exact = sum(c.dimension for c in causes if c.exact)
    cut = 0 if enclosed.untouched is None else int(enclosed.untouched.sum())
    del enclosed  # so that the matrix can be released
    spend = spend and not raw
    known = None if method == "eigh" else signs_known(hessian)
    if known is None:
        inside = exact - cut
        count = counter(hessian, method, spend, inside, stage(progress, "inertia"))
        result = _counted(blank, count, exact, cut)
    else:
        result = _counted(blank, lambda _: known, 0, 0)
    result = replace(result, status=_status(result))
    return result if single is None else _with_raw(result, raw_eigenvalues(hessian, single))


def _counted(blank: Inertia, count: Counter, exact: int, cut: int) -> Inertia:
    """The counts of Hess f from those of Hess L - center I, without `cut` rows that are zero.

    Of the true Hess L, `exact` eigenvectors are known, with eigenvalue 0; its signs that are proved
    are those of others. With a ridge they are positive: if it lifts them out of the band, that is
    found by the count; if not, they are so beside all directions in which Hess L is positive.
    """
    ridge = 2 * blank.l2
    counts = count(-ridge)
    sure, nulls = counts.positive[0], exact
    if ridge:
        sure, nulls = sure + cut, 0
        if exact > cut and ridge <= 2 * counts.radius:
            sure = max(sure, count(0.0).positive[0] + exact)
    low, high = counts.negative[0], min(blank.dim - sure - nulls, blank.structural_upper_bound)
    if low > high:  # two proofs that contradict each other
        raise RuntimeError(
            f"{low} negative eigenvalues are proved, but the structure allows {high} "
            f"({blank.structural_reason}): this is a defect of morsescape, please report it"
        )
    found, radius = None, counts.radius
    if counts.eigenvalues is not None:
        values = torch.cat([counts.eigenvalues, torch.zeros(cut, dtype=torch.float64)])
        values = values.sort().values + ridge
        found = tuple(values.tolist())
        # By the last addition each may move.
        radius = sum_up(radius, U * float(values.abs().max()) if len(values) else 0.0)
    return replace(
        blank,
        negative=(low, high),
        null=(nulls, blank.dim - low - sure),
        positive=(sure, blank.dim - low - nulls),
        method=counts.method,
        by_rows=counts.by_rows,
        radius=radius,
        radius_parts=blank.radius_parts | {"counting": counts.solver_radius},
        eigenvalues=found,
    )


def _status(result: Inertia) -> InertiaStatus:
    if result.estimate is not None:
        return InertiaStatus.ESTIMATE
    if result.kinks:
        return InertiaStatus.ON_KINK
    if result.negative[0] == result.negative[1] and result.null[0] == result.null[1]:
        return InertiaStatus.PROVED
    return InertiaStatus.UNDECIDED


def _with_raw(result: Inertia, raw: dict[str, Tensor]) -> Inertia:
    counts = {dtype: count_negative(values) for dtype, values in raw.items()}
    eigenvalues = result.eigenvalues or tuple(raw["float64"].tolist())
    return replace(result, raw_negative=counts, eigenvalues=eigenvalues)


def _shown(interval: Interval) -> str:
    low, high = interval
    return str(low) if low == high else f"[{low}, {high}]"
