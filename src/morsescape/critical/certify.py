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

from morsescape.boundary import a_number, a_seed, a_vector, checked, instance, matching
from morsescape.critical.certificate import Certificate, CertificateStatus
from morsescape.critical.enclosure import gradient_error, hessian_variation, sharp_gradient
from morsescape.critical.regime import DENSE
from morsescape.critical.solver import Solver, solver
from morsescape.errors import ArgumentError
from morsescape.hessian.dense import Hessian
from morsescape.hessian.second_opinion import second_opinion
from morsescape.objective import Objective
from morsescape.rounding.floats import U, down, up
from morsescape.spectrum.counts import Counts, count_by_eigh, count_by_ldl
from morsescape.spectrum.index_bound import structure_of

_FLAT = 1e-3  # ‖Hg‖ / (‖H‖ ‖g‖) below this is called gradient-flat (Frye et al. 2021: 1e-3 .. 1e-2)
_FAR = 1e-2  # of the size of θ: a critical point farther than this is not estimated
_ROUNDS = 4  # of power iteration on the difference of two Hessians
_DIRECTIONS = 3


@checked(
    f=instance(Objective, "ms.Objective(model, loss, data) makes one"), theta=a_vector("f"),
    tol=a_number(least=0), seed=a_seed(),
    hessian=matching(Hessian, "f", lambda h: len(h.matrix), "pass f.enclosed_hessian(theta)"),
)  # fmt: skip
def certify(
    f: Objective,
    theta: Float64[Tensor, "D"],
    *,
    tol: float = 1e-9,
    hessian: Hessian | None = None,
    seed: int = 0,
) -> Certificate:
    """Is there a critical point near θ, how near, and of which index?

    Where the variation of the Hessian on the ball is bounded, by running its program on a box, and
    the rounding of ∇f and Hess f is, the answer PROVED is a proof in real arithmetic. Boxes give
    large K, so it takes a ‖∇f‖ far below `tol`, as a last Newton step reaches. Otherwise K is the
    largest of a few samples, doubled, and the answer is at best ESTIMATE. Where the Hessian is not
    what a product by autograd and differences of ∇f and f say, the answer is UNDECIDED.

    Args:
        f: the landscape.
        theta: the point, best a converged one.
        tol: gradients below this are called small; it only tells a degenerate critical point from a
            gradient-flat one.
        hessian: Hess L(θ) from `f.enclosed_hessian(theta)`, if it is there already.
        seed: of the sampled directions.

    Raises:
        ArgumentError: a point of the wrong shape; a Hessian that is not that of f at θ.

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
    f.check(theta)
    given, doubt = hessian is not None, ""
    if hessian is None:
        hessian = f.enclosed_hessian(theta)
    else:
        _check_shape(f, hessian)
    if hessian.finite:
        doubt = second_opinion(f, theta, hessian)
    if given and doubt:
        raise ArgumentError(
            "hessian",
            expected="Hess L at this theta",
            got=f"one that does not fit: {doubt}",
            cure="leave it out: certify computes its own, and says what it finds",
        )
    return certify_with(f, theta, hessian, doubt, tol=tol, seed=seed)


def certify_with(
    f: Objective, theta: Tensor, hessian: Hessian, doubt: str, *, tol: float, seed: int
) -> Certificate:
    """`certify` with the second opinion on the Hessian, "" or what speaks against it, at hand."""
    value, gradient = f.value_and_gradient(theta)
    error = None
    if math.isfinite(value):
        gradient, error = _best_gradient(f, theta, gradient)
    norm = float(gradient.norm())
    blank = Certificate.unknown(CertificateStatus.NOT_FINITE, f.dim, norm)
    matrix = hessian.with_ridge(f.l2)
    if not (math.isfinite(value) and math.isfinite(norm) and _finite(matrix)):
        return blank
    guess = 64 * U * (1.0 + norm + 2 * f.l2 * float(theta.norm()))
    known = replace(
        blank,
        grad_error=guess if error is None else error,
        grad_error_bounded=error is not None,
        flatness=_flatness(matrix, gradient),
        hessian_radius=up(hessian.radius + _ridge_rounding(f, matrix)),
    )
    smooth = _smoothness(f, hessian)
    if smooth:
        return replace(known, status=CertificateStatus.NOT_SMOOTH, reason=smooth)
    if doubt:
        return replace(known, status=CertificateStatus.UNDECIDED, reason=doubt)
    solve = solver(matrix)
    least, counts = _smallest(matrix, solve, known.hessian_radius)
    if counts is None or solve is None or not least > 0:
        return _singular(known, matrix, tol)
    beta = up(1 / least)
    newton = solve(gradient)
    known = replace(
        known,
        min_abs_eigenvalue=least,
        beta=beta,
        eta=_eta(matrix, newton, gradient, known, beta),
        index=counts.negative,
    )
    return _conclude(f, theta, known, matrix, newton, hessian, tol, seed)


def _conclude(
    f: Objective,
    theta: Tensor,
    known: Certificate,
    matrix: Tensor,
    newton: Tensor,
    hessian: Hessian,
    tol: float,
    seed: int,
) -> Certificate:
    missing = [] if known.grad_error_bounded else ["the rounding of the gradient is a guess"]
    if hessian.estimate is not None:
        missing.append(f"the radius of the Hessian is an estimate: {hessian.estimate}")
    # Never quite zero: the ball on which the index is constant should hold more than θ.
    radius = max(up(2 * known.eta), U * max(1.0, float(theta.norm())))
    variation = hessian_variation(f, theta, radius, hessian)
    if variation is not None:
        variation = up(variation + _ridge_rounding(f, matrix))
        share = up(known.beta * variation)
        known = replace(
            known, lipschitz=up(variation / radius), lipschitz_bounded=True, h=up(share / 2)
        )
        if share <= 0.5:
            status = CertificateStatus.ESTIMATE if missing else CertificateStatus.PROVED
            distance = up(known.eta / down(1 - share))
            return replace(known, status=status, distance=distance, reason="; ".join(missing))
    if known.eta > _FAR * max(1.0, float(theta.norm())):
        # What is sampled that far away says nothing: where tanh is flat, K is 0.
        return _open(known, matrix, tol)
    sampled = _sampled_lipschitz(f, theta, radius, newton, seed)
    h = known.beta * known.eta * sampled
    if variation is None:
        known = replace(known, lipschitz=sampled, h=h)
    missing.append("K was sampled")
    if not h <= 0.5:
        return _open(known, matrix, tol)
    distance = 2 * known.eta / (1 + math.sqrt(1 - 2 * h))  # t*, without cancellation
    if not sampled * distance < known.min_abs_eigenvalue:
        why = "the index may change on the way to it: the curvature varies too much"
        return replace(known, status=CertificateStatus.UNDECIDED, index=(0, f.dim), reason=why)
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


def _best_gradient(f: Objective, theta: Tensor, gradient: Tensor) -> tuple[Tensor, float | None]:
    """∇f(θ) and a bound on its error: in twice the precision, if its operations are known there."""
    sharp = sharp_gradient(f, theta)
    return (gradient, gradient_error(f, theta, gradient)) if sharp is None else sharp


def _smallest(matrix: Tensor, solve: Solver | None, radius: float) -> tuple[float, Counts | None]:
    """A lower bound on min |λ| of every matrix within `radius`, and their common inertia."""
    if not math.isfinite(radius):
        return 0.0, None
    if len(matrix) <= DENSE:
        counts = count_by_eigh(matrix, radius)
        if counts.null != (0, 0) or counts.eigenvalues is None:
            return 0.0, None
        return down(float(counts.eigenvalues.abs().min()) - counts.radius), counts
    if solve is None:
        return 0.0, None
    guess = _smallest_guess(solve, len(matrix))
    for share in (0.9, 0.5, 0.1):
        # Nothing within `bound` is singular, so min |λ| of the matrix is at least that.
        bound = share * guess
        if bound <= radius:
            break
        counts = count_by_ldl(matrix, bound)
        if counts.null == (0, 0):
            return down(bound - radius), counts
    return 0.0, None


def _smallest_guess(solve: Solver, dim: int) -> float:
    """Min |λ| by inverse iteration."""
    v = torch.randn(dim, generator=torch.Generator().manual_seed(0)).double()
    norm = 1.0
    for _ in range(30):
        v = solve(v / v.norm())
        norm = float(v.norm())
        if not 0 < norm < math.inf:
            return 0.0
    return 1 / norm


def _eta(matrix: Tensor, x: Tensor, gradient: Tensor, known: Certificate, beta: float) -> float:
    """η from x ≈ A⁻¹g: ‖A⁻¹∇f‖ ≤ ‖x‖ + β ‖∇f - A x‖, every error included."""
    if not _finite(x):
        x = torch.zeros_like(gradient)
    n, length = len(x), float(x.norm())
    residual = float((matrix @ x - gradient).norm())
    products = (n + 4) * U * (float(matrix.norm()) * length + known.grad_norm)
    off = residual + 2 * products + known.hessian_radius * length + known.grad_error
    lost = 1e-140  # squares that underflow within the norms
    return (length + lost + beta * (off + lost)) * (1 + 8 * n * U)


def _sampled_lipschitz(
    f: Objective, theta: Tensor, radius: float, newton: Tensor, seed: int
) -> float:
    """Twice the largest ‖(H(θ + r v) - H(θ - r v)) u‖ / 2r found by power iteration on u."""
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


def _smoothness(f: Objective, hessian: Hessian) -> str:
    """Why f may not be twice differentiable at θ; empty if nothing speaks against it."""
    if f.network is not None and (operations := structure_of(f.network).not_smooth):
        return f"the model uses {', '.join(operations)}"
    return f"{hessian.kinks} branch decisions within rounding" if hessian.kinks else ""


def _flatness(matrix: Tensor, gradient: Tensor) -> float:
    norm = float(gradient.norm())
    return float((matrix @ gradient).norm()) / norm if norm else math.nan


def _ridge_rounding(f: Objective, matrix: Tensor) -> float:
    """What adding 2λ to the diagonal can be off by."""
    return U * float(matrix.diagonal().abs().max()) if f.l2 else 0.0


def _singular(known: Certificate, matrix: Tensor, tol: float) -> Certificate:
    if known.grad_norm <= max(tol, known.grad_error):
        return replace(known, status=CertificateStatus.DEGENERATE)
    return _open(known, matrix, tol)


def _open(known: Certificate, matrix: Tensor, tol: float) -> Certificate:
    """Not proved: because the gradient hides in the kernel, or simply because it is too large."""
    known = replace(known, index=(0, len(matrix)))
    flat = known.flatness <= _FLAT * float(torch.linalg.matrix_norm(matrix))
    if known.grad_norm > tol and flat:
        return replace(known, status=CertificateStatus.GRADIENT_FLAT)
    why = "the gradient is too large for this curvature"
    return replace(known, status=CertificateStatus.UNDECIDED, reason=why)


def _check_shape(f: Objective, hessian: Hessian) -> None:
    matrix = hessian.matrix if isinstance(hessian, Hessian) else hessian
    fits = isinstance(matrix, Tensor) and matrix.shape == (f.dim, f.dim)
    if isinstance(hessian, Hessian) and fits and matrix.dtype == torch.float64:
        return
    got = f"{matrix.dtype} of shape {tuple(matrix.shape)}" if isinstance(matrix, Tensor) else ""
    raise ArgumentError(
        "hessian",
        expected=f"a Hessian with a float64 matrix of shape ({f.dim}, {f.dim})",
        got=f"a {type(hessian).__name__}" + (f", {got}" if got else ""),
        cure="pass f.enclosed_hessian(theta) of the same f and theta",
    )


def _finite(x: Tensor) -> bool:
    return bool(x.isfinite().all())
