r"""Newton–Kantorovich: from a small gradient to a critical point that exists.

Let A ≈ Hess f(θ) be invertible, β ≥ ‖A⁻¹‖, η ≥ ‖A⁻¹∇f(θ)‖, and let N(x) = x - A⁻¹∇f(x), whose fixed
points are the critical points of f.

*With a proved variation.* A may be any matrix: it is the computed one. If ‖Hess f(x) - A‖ ≤ ω for
all ‖x - θ‖ ≤ r, then ‖DN‖ ≤ βω there. If βω < 1 and η ≤ (1 - βω) r, N maps the ball into itself and
contracts: exactly one critical point in it, within η / (1 - βω) of θ (Banach). Every Hess f(x) in
the ball is invertible and has the signs of A, so the index is constant. With r = 2η this asks for
βω ≤ ½; K = ω/r then satisfies h = βηK ≤ ¼.

*With a sampled K.* If A = Hess f(θ) and ‖Hess f(x) - A‖ ≤ K ‖x - θ‖, then ‖N(x) - θ‖ is at most
η + ½βK‖x - θ‖²: for h = βηK ≤ ½ the ball of radius t* = (1 - √(1 - 2h)) / (βK) ≤ 2η is mapped into
itself (Kantorovich 1948; Ortega 1968). The index there is that of A if K t* < min |λ|.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from jaxtyping import Float64
from torch import Tensor

from morsescape.boundary import a_number, a_seed, a_vector, checked, instance
from morsescape.critical.certificate import Certificate, CertificateStatus
from morsescape.critical.enclosure import hessian_variation
from morsescape.hessian.regime import regime
from morsescape.hessian.value import Hessian
from morsescape.objective import Objective, hessian_of
from morsescape.rounding.floats import U, down, up
from morsescape.spectrum.index_bound import structure_of
from morsescape.spectrum.signs import distance_from_singular

_FLAT = 1e-3  # ‖Hg‖ / (‖H‖ ‖g‖) below this is called gradient-flat (Frye et al. 2021: 1e-3 .. 1e-2)
_FAR = 1e-2  # of the size of θ: a critical point farther than this is not estimated
_ROUNDS = 4  # of power iteration on the difference of two Hessians
_DIRECTIONS = 3


@checked(
    f=instance((Objective, Hessian), "ms.Objective(model, loss, data) makes a landscape"),
    theta=a_vector("f"), tol=a_number(least=0), seed=a_seed(),
)  # fmt: skip
def certify(
    f: Objective | Hessian,
    theta: Float64[Tensor, "D"] | None = None,
    *,
    tol: float = 1e-9,
    seed: int = 0,
) -> Certificate:
    """Is there a critical point near θ, how near, and of which index?

    Where the variation of the Hessian on the ball is bounded, by running its program on a box, and
    the rounding of ∇f and Hess f is, the answer PROVED is a proof in real arithmetic. Boxes give
    large K, so it takes a ‖∇f‖ far below `tol`, as a last Newton step reaches. Otherwise K is the
    largest of a few samples, doubled, and the answer is at best ESTIMATE. Where the Hessian is not
    what a product by autograd and differences of ∇f and f say, the answer is UNDECIDED.

    Args:
        f: the landscape, or its Hessian at the point, `f.hessian_at(theta)`.
        theta: the point, best a converged one; None takes the model's own parameters.
        tol: gradients below this are called small; it only tells a degenerate critical point from a
            gradient-flat one.
        seed: of the sampled directions.

    Raises:
        ArgumentError: a point of the wrong shape or beside a Hessian.

    Source:
        Kantorovich (1948); Ortega, SIAM J. Numer. Anal. 5 (1968); Frye et al., Neural Computation
        33 (2021) for gradient-flat points.

    Example:
        >>> import torch, morsescape as ms
        >>> f = ms.Objective.from_function(lambda t: t[0] ** 4 / 4 - t[0] ** 2 / 2 - t[1] ** 2, 2)
        >>> proof = ms.certify(f, torch.tensor([1.0 + 1e-9, 0.0]).double())
        >>> proof.status.name, proof.index, proof.distance < 2e-9
        ('PROVED', (1, 1), True)
    """
    hessian = hessian_of(f, theta)
    value, (gradient, error) = hessian.value, hessian.enclosed_gradient()
    norm = float(gradient.norm())
    blank = Certificate.unknown(CertificateStatus.NOT_FINITE, hessian.dim, norm)
    if not (math.isfinite(value) and math.isfinite(norm) and hessian.finite):
        return blank
    ridge = 2 * hessian.f.l2
    known = replace(
        blank,
        grad_error=64 * U * (1.0 + norm + ridge * float(hessian.theta.norm())) if error is None
        else error,
        grad_error_bounded=error is not None,
        flatness=float(hessian.mv(gradient).norm()) / norm if norm else math.nan,
        hessian_radius=hessian.radius,
    )  # fmt: skip
    smooth = _smoothness(hessian)
    if smooth:
        return replace(known, status=CertificateStatus.NOT_SMOOTH, reason=smooth)
    if hessian.doubt:
        return replace(known, status=CertificateStatus.UNDECIDED, reason=hessian.doubt)
    least, counts = distance_from_singular(hessian)
    if counts is None or not least > 0:
        return _singular(known, hessian, tol)
    beta = up(1 / least)
    newton = _newton(hessian)
    known = replace(
        known,
        min_abs_eigenvalue=least,
        beta=beta,
        eta=_eta(hessian, newton, known, beta),
        index=counts.negative,
    )
    return _conclude(known, hessian, newton, tol, seed)


def _conclude(
    known: Certificate, hessian: Hessian, newton: Tensor, tol: float, seed: int
) -> Certificate:
    missing = [] if known.grad_error_bounded else ["the rounding of the gradient is a guess"]
    if hessian.estimate is not None:
        missing.append(f"the radius of the Hessian is an estimate: {hessian.estimate}")
    # Never quite zero: the ball on which the index is constant should hold more than θ.
    size = max(1.0, float(hessian.theta.norm()))
    radius = max(up(2 * known.eta), U * size)
    at = hessian.f.source, hessian.theta
    variation = hessian_variation(*at, radius, hessian.enclose())
    if variation is not None:
        share = up(known.beta * variation)
        known = replace(
            known, lipschitz=up(variation / radius), lipschitz_bounded=True, h=up(share / 2)
        )
        if share <= 0.5:
            status = CertificateStatus.ESTIMATE if missing else CertificateStatus.PROVED
            distance = up(known.eta / down(1 - share))
            if not missing:
                hessian.made["critical within"] = distance  # `inertia` says so
            return replace(known, status=status, distance=distance, reason="; ".join(missing))
    if known.eta > _FAR * size:
        # What is sampled that far away says nothing: where tanh is flat, K is 0.
        return _open(known, hessian, tol)
    sampled = _sampled_lipschitz(hessian, radius, newton, seed)
    h = known.beta * known.eta * sampled
    if variation is None:
        known = replace(known, lipschitz=sampled, h=h)
    missing.append("K was sampled")
    if not h <= 0.5:
        return _open(known, hessian, tol)
    distance = 2 * known.eta / (1 + math.sqrt(1 - 2 * h))  # t*, without cancellation
    if not sampled * distance < known.min_abs_eigenvalue:
        why = "the index may change on the way to it: the curvature varies too much"
        known = replace(known, index=(0, hessian.dim))
        return replace(known, status=CertificateStatus.UNDECIDED, reason=why)
    return replace(
        known,
        status=CertificateStatus.ESTIMATE,
        lipschitz=sampled,
        lipschitz_bounded=False,
        h=h,
        distance=distance,
        reason="; ".join(missing),
    )


# -- the parts ------------------------------------------------------------------------------------


def _newton(hessian: Hessian) -> Tensor:
    """About H⁻¹∇f."""
    if regime(hessian.dim).eigenpairs:
        values, vectors = hessian.eigh()
        return vectors @ ((vectors.t() @ hessian.gradient) / values)
    solve = hessian.factor()
    assert solve is not None  # H is proved to be invertible, with this factor
    return solve(hessian.gradient)


def _eta(hessian: Hessian, x: Tensor, known: Certificate, beta: float) -> float:
    """η from x ≈ A⁻¹g: ‖A⁻¹∇f‖ ≤ ‖x‖ + β ‖∇f - A x‖, every error included."""
    if not _finite(x):
        x = torch.zeros_like(x)
    n, length, ridge = len(x), float(x.norm()), 2 * hessian.f.l2
    residual = float((hessian.mv(x) - hessian.gradient).norm())
    products = (n + 4) * U * ((hessian.norm + 2 * ridge) * length + known.grad_norm)
    off = residual + 2 * products + known.hessian_radius * length + known.grad_error
    lost = 1e-140  # squares that underflow within the norms
    return (length + lost + beta * (off + lost)) * (1 + 8 * n * U)


def _sampled_lipschitz(hessian: Hessian, radius: float, newton: Tensor, seed: int) -> float:
    """Twice the largest ‖(H(θ + r v) - H(θ - r v)) u‖ / 2r found by power iteration on u."""
    f, theta = hessian.f, hessian.theta
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(_DIRECTIONS, f.dim, generator=generator, dtype=torch.float64)
    if _finite(newton) and float(newton.norm()) > 0:
        directions[0] = newton
    # Far enough that the difference of two Hessians is not all rounding.
    r = max(radius, 1e-5 * max(1.0, float(theta.norm())))
    largest = 0.0
    for direction in directions:
        v = direction / direction.norm() * r
        u = v / r
        for _ in range(_ROUNDS):
            change = (f.hvp(theta + v, u) - f.hvp(theta - v, u)) / (2 * r)
            norm = float(change.norm())
            if not math.isfinite(norm):
                return math.inf
            if norm == 0:
                break
            largest, u = max(largest, norm), change / norm
    return 2 * largest


def _smoothness(hessian: Hessian) -> str:
    """Why f may not be twice differentiable at θ; empty if nothing speaks against it."""
    if operations := structure_of(hessian.f.source).not_smooth:
        return f"the model uses {', '.join(operations)}"
    return f"{hessian.kinks} branch decisions within rounding" if hessian.kinks else ""


def _singular(known: Certificate, hessian: Hessian, tol: float) -> Certificate:
    if known.grad_norm <= max(tol, known.grad_error):
        return replace(known, status=CertificateStatus.DEGENERATE)
    return _open(known, hessian, tol)


def _open(known: Certificate, hessian: Hessian, tol: float) -> Certificate:
    """Not proved: the gradient hides in the kernel, or it, or its rounding, is too large."""
    known = replace(known, index=(0, hessian.dim))
    flat = known.flatness <= _FLAT * hessian.norm
    if known.grad_norm > tol and flat:
        return replace(known, status=CertificateStatus.GRADIENT_FLAT)
    what = "gradient"
    if known.grad_norm <= known.grad_error:  # no further step of Newton's would help
        bound = "bound on" if known.grad_error_bounded else "guess of"
        what = f"{bound} the rounding of the gradient, {known.grad_error:.1e},"
    why = f"the {what} is too large for this curvature"
    return replace(known, status=CertificateStatus.UNDECIDED, reason=why)


def _finite(x: Tensor) -> bool:
    return bool(x.isfinite().all())
