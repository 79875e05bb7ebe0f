r"""All eigenvalues of a symmetric matrix, with a proved bound on their error.

LAPACK's A ≈ V Λ Vᵀ is taken on trust nowhere; two matrices are computed afterwards,

    R = A V - V Λ,  ‖R‖ ≤ ρ,        G = Vᵀ V - I,  ‖G‖ ≤ δ < 1.

*Argument.* Let V = U S be the polar decomposition: U orthogonal, S = (I + G)^½, so ‖S - I‖ ≤ δ
(|√(1+x) - 1| ≤ |x|) and ‖S⁻¹‖ ≤ (1 - δ)^-½. Then

    A U - U Λ = A V S⁻¹ - U Λ = [R + U (S Λ - Λ S)] S⁻¹,

and S Λ - Λ S = (S - I) Λ' - Λ' (S - I) with Λ' = Λ - ½(λ_1 + λ_n) I, of norm at most
δ (λ_n - λ_1). Hence ‖A - U Λ Uᵀ‖ ≤ (ρ + δ (λ_n - λ_1)) / √(1 - δ), and by Weyl's inequality the
k-th eigenvalue of A is within that of λ_k (Horn & Johnson, Matrix Analysis, theorem 4.3.1).

*Rounding of R and G.* A plain product of n terms is off by γ_n |A||V|, far more than ρ. Each
factor is cut in two, a = a₁ + a₂, a₁ a multiple of 2^-bits of its row's largest entry, so that
a₁ b₁ is a sum of integers below 2⁵³ times a power of two: exact in any order (Ozaki, Ogita, Oishi &
Rump 2012). What is left is 2^-bits smaller, and so is its rounding, bounded in Frobenius norm by
γ (‖a₁‖ ‖b₂‖ + ‖a₂‖ ‖b‖) with the norms as they are. Model: as in `ldl`.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float64
from torch import Tensor

from morsescape.hessian.solver import eigenpairs
from morsescape.rounding.exact import exact_bits, leading_bits
from morsescape.rounding.floats import U, gamma, up

_TINY = 2.0**-1000  # per entry: all underflows, where the largest entry is about 1
_UP = 1 + 1e-6  # covers the rounding of the norms: n² u < 1e-6 up to n = 90,000


def enclosed_eigenvalues(
    matrix: Float64[Tensor, "n n"],
) -> tuple[Float64[Tensor, " n"], float]:
    """Eigenvalues λ_1 ≤ … ≤ λ_n of a symmetric matrix, and what each is off by at most.

    Needs about ten times the memory of `matrix`, which must be exactly symmetric and finite and is
    not changed. The radius is infinity where nothing is proved.
    """
    values, vectors = eigenpairs(matrix)
    return values, eigenvalue_error(matrix, values, vectors)


def eigenvalue_error(
    matrix: Float64[Tensor, "n n"], values: Float64[Tensor, " n"], vectors: Float64[Tensor, "n n"]
) -> float:
    """What each computed eigenvalue is off by at most, whoever computed it with its vector."""
    if len(matrix) == 0:
        return 0.0
    # A power of two changes no digit. Without it, squares of 1e-200 would vanish from the norms.
    _, exponent = math.frexp(float(matrix.abs().max()))
    radius = _distance(_times_power(matrix, -exponent), _times_power(values, -exponent), vectors)
    # One that underflows on the way back is off by less than the smallest number.
    back = _times_power(torch.tensor([radius], dtype=torch.float64), exponent)
    return up(float(back))


def _times_power(x: Tensor, exponent: int) -> Tensor:
    """Multiply by 2^exponent, in two steps, since 2^±1074 itself may overflow."""
    half = exponent // 2
    return x * 2.0**half * 2.0 ** (exponent - half)


def _distance(matrix: Tensor, values: Tensor, vectors: Tensor) -> float:
    """A bound on ‖A - U Λ Uᵀ‖ for the orthogonal U nearest to the computed vectors."""
    residual = _norm_of_difference(matrix, vectors, vectors * values)
    residual += U * _norm(vectors * values) + len(matrix) * _TINY
    defect = _norm_of_difference(vectors.t(), vectors, torch.eye(len(matrix), dtype=torch.float64))
    if not (math.isfinite(residual) and defect < 0.5):
        return math.inf
    spread = float(values[-1] - values[0])
    return (residual + defect * spread) / math.sqrt(1 - defect) * _UP


def _norm_of_difference(a: Tensor, b: Tensor, c: Tensor) -> float:
    """An upper bound on the Frobenius norm of the exact a b - c."""
    n = len(a)
    bits = exact_bits(n)
    a1, b1 = leading_bits(a, _unit(a, bits, 1)), leading_bits(b, _unit(b, bits, 0))
    a2, b2 = a - a1, b - b1
    rest = a1 @ b2 + a2 @ b
    leading = a1 @ b1 - c
    total = leading + rest
    products = gamma(n + 4) * (_norm(a1) * _norm(b2) + _norm(a2) * _norm(b))
    sums = U * (_norm(rest) + _norm(leading) + _norm(total))
    return (_norm(total) + products + sums) * _UP + n * _TINY


def _unit(x: Tensor, bits: int, dim: int) -> Tensor:
    """2^-bits times a power of two above the largest entry along `dim`."""
    exponent = torch.frexp(x.abs().amax(dim, keepdim=True)).exponent
    # A row below 2^-900 need not be split: all of it may count as remainder.
    one = torch.ones_like(exponent, dtype=torch.float64)
    return torch.ldexp(one, exponent.clamp(min=-900) - bits)


def _norm(x: Tensor) -> float:
    """The Frobenius norm, enlarged by more than its rounding; squares below 2^-1074 vanish."""
    return float(torch.linalg.vector_norm(x)) * _UP + _TINY**0.5 * len(x)
