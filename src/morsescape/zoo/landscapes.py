"""Landscapes whose critical points are known exactly, each with its source.

A function is written for any arithmetic: `fn(t, m)` takes a sequence of numbers and a module `m`
with exp, cos and tanh, so that torch, mpmath and intervals evaluate the same formula. Isolated
critical points are listed to about six digits and are polished to 50 by the tests; families of
critical points are described by a function of the point. `tests/critical/test_zoo.py` verifies
every entry with 50 digits.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

from morsescape.zoo.landscape import Landscape, Point, Signs
from morsescape.zoo.valleys import banana, ring, two_wells


def _near(a: Any, b: Any, tol: float = 1e-4) -> bool:
    return abs(a - b) <= tol


# -- quadratic forms ------------------------------------------------------------------------------

bowl = Landscape(
    "bowl",
    lambda t, m: t[0] ** 2 + 10 * (t[1] - 1) ** 2 + 0.5 * (t[2] + t[0]) ** 2,
    3,
    (((0.0, 1.0, 0.0), (0, 0)),),
    "a positive definite form; Sylvester's law of inertia",
    True,
)
quadric = Landscape(
    "quadric",
    lambda t, m: t[0] ** 2 - 2 * t[1] ** 2 + 3 * t[2] ** 2 - 0.5 * t[3] ** 2 + t[0] * t[3],
    4,
    (((0.0, 0.0, 0.0, 0.0), (2, 0)),),
    "an indefinite form; t0² + t0 t3 - t3²/2 has determinant < 0, so one sign of each",
    False,
)

# -- polynomials ----------------------------------------------------------------------------------

double_well = Landscape(
    "double well",
    lambda t, m: (t[0] ** 2 - 1) ** 2 + t[1] ** 2,
    2,
    (((-1.0, 0.0), (0, 0)), ((1.0, 0.0), (0, 0)), ((0.0, 0.0), (1, 0))),
    "by hand: 4 t0 (t0² - 1) = 0 = 2 t1",
    True,
)
fold = Landscape(
    "fold",
    lambda t, m: t[0] ** 3 / 3 - t[0] + t[1] ** 2,
    2,
    (((1.0, 0.0), (0, 0)), ((-1.0, 0.0), (1, 0))),
    "Thom's fold, unfolded: t0² = 1",
    False,
)
quartic = Landscape(
    "quartic",
    lambda t, m: t[0] ** 4 + t[1] ** 2,
    2,
    (((0.0, 0.0), (0, 1)),),
    "a degenerate minimum, by hand",
    True,
)
inflection = Landscape(
    "inflection",
    lambda t, m: t[0] ** 3 + t[1] ** 2,
    2,
    (((0.0, 0.0), (0, 1)),),
    "a degenerate point that is no minimum though H ⪰ 0, by hand",
    False,
)
monkey = Landscape(
    "monkey saddle",
    lambda t, m: t[0] ** 3 - 3 * t[0] * t[1] ** 2,
    2,
    (((0.0, 0.0), (0, 2)),),
    "Re (t0 + i t1)³; Hilbert & Cohn-Vossen, Anschauliche Geometrie",
    False,
)
held_monkey = Landscape(
    "held monkey saddle",
    lambda t, m: t[0] ** 3 - 3 * t[0] * t[1] ** 2 + (t[0] ** 2 + t[1] ** 2) ** 2,
    2,
    (
        ((0.0, 0.0), (0, 2)),
        *(
            ((0.75 * math.cos(a), 0.75 * math.sin(a)), (0, 0))
            for a in (math.pi, math.pi / 3, -math.pi / 3)
        ),
    ),
    "r³ cos 3a + r⁴: r = 3/4 where cos 3a = -1; the monkey saddle counts -2: 3 - 2 = 1",
    True,
)
himmelblau = Landscape(
    "Himmelblau",
    lambda t, m: (t[0] ** 2 + t[1] - 11) ** 2 + (t[0] + t[1] ** 2 - 7) ** 2,
    2,
    (
        ((3.0, 2.0), (0, 0)),
        ((-2.805118, 3.131313), (0, 0)),
        ((-3.779310, -3.283186), (0, 0)),
        ((3.584428, -1.848127), (0, 0)),
        ((-0.270845, -0.923039), (2, 0)),
        ((-3.073026, -0.081353), (1, 0)),
        ((-0.127961, -1.953715), (1, 0)),
        ((0.086678, 2.884255), (1, 0)),
        ((3.385154, 0.073852), (1, 0)),
    ),
    "Himmelblau, Applied Nonlinear Programming (1972); Bézout: nine points at most",
    True,
    box=4.0,
)
rosenbrock = Landscape(
    "Rosenbrock",
    lambda t, m: (1 - t[0]) ** 2 + 100 * (t[1] - t[0] ** 2) ** 2,
    2,
    (((1.0, 1.0), (0, 0)),),
    "Rosenbrock, Computer J. 3 (1960)",
    True,
)
three_hump = Landscape(
    "three-hump camel",
    lambda t, m: 2 * t[0] ** 2 - 1.05 * t[0] ** 4 + t[0] ** 6 / 6 + t[0] * t[1] + t[1] ** 2,
    2,
    (
        ((0.0, 0.0), (0, 0)),
        ((1.747552, -0.873776), (0, 0)),
        ((-1.747552, 0.873776), (0, 0)),
        ((1.070542, -0.535271), (1, 0)),
        ((-1.070542, 0.535271), (1, 0)),
    ),
    "Dixon & Szegö, Towards Global Optimisation 2 (1978); t1 = -t0/2 leaves a quintic in t0",
    True,
)
six_hump = Landscape(
    "six-hump camel",
    lambda t, m: (
        (4 - 2.1 * t[0] ** 2 + t[0] ** 4 / 3) * t[0] ** 2
        + t[0] * t[1]
        + (-4 + 4 * t[1] ** 2) * t[1] ** 2
    ),
    2,
    (
        ((0.0, 0.0), (1, 0)),
        *(
            ((s * x, s * y), signs)
            for x, y, signs in (
                (0.089842, -0.712656, (0, 0)),
                (1.703607, -0.796084, (0, 0)),
                (1.607105, 0.568651, (0, 0)),
                (1.296070, 0.605084, (1, 0)),
                (1.638068, 0.228674, (1, 0)),
                (1.109205, -0.768268, (1, 0)),
                (1.230230, 0.162335, (2, 0)),
            )
            for s in (1, -1)
        ),
    ),
    "Dixon & Szegö (1978); fifteen points",
    True,
)
styblinski = Landscape(
    "Styblinski–Tang",
    lambda t, m: sum((x**4 - 16 * x**2 + 5 * x) / 2 for x in t),
    3,
    tuple(
        (tuple(x for x, _ in choice), (sum(i for _, i in choice), 0))
        for choice in itertools.product(((-2.903534, 0), (0.156731, 1), (2.746803, 0)), repeat=3)
    ),
    "Styblinski & Tang, Neural Networks 3 (1990); separable: 3³ points, roots of 4x³ - 32x + 5",
    True,
    box=4.0,
)

# -- a potential of chemistry ---------------------------------------------------------------------

_MB = (
    (-200.0, -1.0, 0.0, -10.0, 1.0, 0.0),
    (-100.0, -1.0, 0.0, -10.0, 0.0, 0.5),
    (-170.0, -6.5, 11.0, -6.5, -0.5, 1.5),
    (15.0, 0.7, 0.6, 0.7, -1.0, 1.0),
)
mueller_brown = Landscape(
    "Müller–Brown",
    lambda t, m: sum(
        a * m.exp(b * (t[0] - x) ** 2 + c * (t[0] - x) * (t[1] - y) + d * (t[1] - y) ** 2)
        for a, b, c, d, x, y in _MB
    ),
    2,
    (
        ((-0.558224, 1.441726), (0, 0)),
        ((0.623499, 0.028038), (0, 0)),
        ((-0.050011, 0.466694), (0, 0)),
        ((-0.822002, 0.624313), (1, 0)),
        ((0.212487, 0.292988), (1, 0)),
    ),
    "Müller & Brown, Theor. Chim. Acta 53 (1979); passes by Newton's method in 50 digits",
    True,
    box=1.0,
    passes=(-40.6648435086574, -72.2489401123252),
)

# -- Morse–Bott and height functions --------------------------------------------------------------


def _circle(p: Point) -> Signs | None:
    r = math.hypot(p[0], p[1])
    if not _near(p[2], 0):
        return None
    return (0, 1) if _near(r, 1) else (2, 0) if _near(r, 0) else None


circle = Landscape(
    "Morse–Bott circle",
    lambda t, m: (t[0] ** 2 + t[1] ** 2 - 1) ** 2 + t[2] ** 2,
    3,
    (((0.6, 0.8, 0.0), (0, 1)), ((0.0, 0.0, 0.0), (2, 0))),
    "a circle of minima around a point of index 2; Bott, Ann. Math. 60 (1954): χ(S¹) + 1 = 1",
    True,
    family=_circle,
)


def _on_torus(p: Point) -> Signs | None:
    if any(abs(math.remainder(x, math.pi)) > 1e-4 for x in p):
        return None
    outer = _near(math.remainder(p[0], 2 * math.pi), 0)
    far = _near(math.remainder(p[1], 2 * math.pi), 0)
    # f = (2 + cos b) cos a: in a a maximum where cos a = 1; in b, one where cos a cos b > 0.
    return int(outer) + int(outer == far), 0


torus = Landscape(
    "height on a torus",
    lambda t, m: (2 + m.cos(t[1])) * m.cos(t[0]),
    2,
    (
        ((0.0, 0.0), (2, 0)),
        ((0.0, math.pi), (1, 0)),
        ((math.pi, 0.0), (0, 0)),
        ((math.pi, math.pi), (1, 0)),
    ),
    "Milnor, Morse Theory (1963), §1: the torus on its side; 2 - 1 = 1 of each parity: χ = 0",
    False,
    family=_on_torus,
    box=3.0,
)


def _eigenvector(p: Point) -> Signs | None:
    r = math.hypot(*p)
    for k, x in enumerate(p):
        if r > 1e-3 and _near(abs(x) / r, 1, 1e-6):
            return k, 1
    return None


rayleigh = Landscape(
    "Rayleigh quotient",
    lambda t, m: sum((k + 1) * x * x for k, x in enumerate(t)) / sum(x * x for x in t),
    3,
    (((1.0, 0.0, 0.0), (0, 1)), ((0.0, 2.0, 0.0), (1, 1)), ((0.0, 0.0, -1.0), (2, 1))),
    "Courant & Fischer: the k-th eigenline has index k; the radius is the null direction",
    False,
    family=_eigenvector,
)

# -- small networks -------------------------------------------------------------------------------

_MU = 0.1


def _xor(t: Sequence[Any], m: Any) -> Any:
    """2-2-1 network, tanh, XOR in ±1, squared loss and ridge: t = W (2×2), b (2), v (2), c."""
    total = 0
    for x, y, target in ((1, 1, -1), (1, -1, 1), (-1, 1, 1), (-1, -1, -1)):
        units = [m.tanh(t[2 * k] * x + t[2 * k + 1] * y + t[4 + k]) for k in range(2)]
        total = total + (t[6] * units[0] + t[7] * units[1] + t[8] - target) ** 2
    return total / 8 + 0.01 * sum(x * x for x in t)


linear_pair = Landscape(
    "linear network 1-1-1 with ridge",
    lambda t, m: (1 - t[0] * t[1]) ** 2 / 2 + _MU * (t[0] ** 2 + t[1] ** 2),
    2,
    (
        ((0.0, 0.0), (1, 0)),
        ((math.sqrt(1 - 2 * _MU), math.sqrt(1 - 2 * _MU)), (0, 0)),
        ((-math.sqrt(1 - 2 * _MU), -math.sqrt(1 - 2 * _MU)), (0, 0)),
    ),
    "by hand: the sum and the difference of the two equations give t0 = ±t1, t0² = 1 - 2μ",
    True,
)


def _chain(p: Point) -> Signs | None:
    zeros = sum(_near(x, 0) for x in p)
    if zeros == 3:
        return 0, 3
    if zeros == 2:
        return 1, 1
    return (0, 2) if _near(math.prod(p), 1) else None


deep_chain = Landscape(
    "deep linear network 1-1-1-1",
    lambda t, m: (1 - t[0] * t[1] * t[2]) ** 2 / 2,
    3,
    (((1.0, 2.0, 0.5), (0, 2)), ((0.0, 0.0, 1.5), (1, 1)), ((0.0, 0.0, 0.0), (0, 3))),
    "Baldi & Hornik (1989), Kawaguchi (2016): the product is 1, or at least two factors are 0; "
    "at 0 itself the Hessian vanishes",
    False,
    family=_chain,
    box=1.5,
)


def _two_layers(t: Sequence[Any], m: Any) -> Any:
    """½ ‖W₂ W₁ - diag(3, 1)‖², t = W₁ (2×2 by rows), W₂ (2×2 by rows)."""
    total = 0
    for i in range(2):
        for j in range(2):
            goal = (3, 1)[i] if i == j else 0
            total = total + (t[4 + 2 * i] * t[j] + t[5 + 2 * i] * t[2 + j] - goal) ** 2
    return total / 2


def _subset(p: Point) -> Signs | None:
    """Critical products are diag(3, 1) restricted to some of its singular directions."""
    product = [p[4 + 2 * i] * p[j] + p[5 + 2 * i] * p[2 + j] for i in range(2) for j in range(2)]
    for kept, signs in (((3, 1), (0, 4)), ((3, 0), (1, 3)), ((0, 1), (2, 3)), ((0, 0), (4, 0))):
        if all(_near(a, b, 1e-3) for a, b in zip(product, (kept[0], 0, 0, kept[1]), strict=True)):
            return signs
    return None


_R = math.sqrt(3)
two_layers = Landscape(
    "deep linear network 2-2-2",
    _two_layers,
    8,
    (
        ((0.0,) * 8, (4, 0)),
        ((_R, 0.0, 0.0, 1.0, _R, 0.0, 0.0, 1.0), (0, 4)),
        ((_R, 0.0, 0.0, 0.0, _R, 0.0, 0.0, 0.0), (1, 3)),
        ((0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0), (2, 3)),
    ),
    "Baldi & Hornik, Neural Networks 2 (1989): products keep a subset of the singular directions",
    False,
    family=_subset,
    box=1.5,
)
one_unit = Landscape(
    "one hidden unit",
    lambda t, m: (t[1] * m.tanh(t[0]) - 1) ** 2 / 2 + 0.05 * (t[0] ** 2 + t[1] ** 2),
    2,
    (
        ((0.0, 0.0), (1, 0)),
        ((0.907401, 1.164423), (0, 0)),
        ((-0.907401, -1.164423), (0, 0)),
    ),
    "1-1-1 network with tanh on one sample; Hessian [[0.1, -1], [-1, 0.1]] at 0",
    True,
)
xor = Landscape(
    "XOR network 2-2-1",
    _xor,
    9,
    (((0.0,) * 9, (0, 0)),),
    "4 samples; at 0 the targets are uncorrelated with every unit's input, so 0 is a minimum: "
    "Hessian diag(0.02, …, 0.02, 1.02)",
    True,
    complete=False,
)

ZOO = (
    bowl, quadric, double_well, fold, quartic, inflection, monkey, held_monkey, himmelblau,
    rosenbrock, three_hump, six_hump, styblinski, mueller_brown, circle, torus, rayleigh,
    linear_pair, deep_chain, two_layers, one_unit, xor, two_wells, ring, banana,
)  # fmt: skip
