"""Writes docs/capture.md: the proofs of capture balls, and how far below known passes they stay.

    python benchmarks/capture_page.py

benchmarks/exits.py must have been run.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

import morsescape as ms
from morsescape.morse.capture import capture_ball
from morsescape.morse.embedding import embed
from morsescape.store import read_json

PAGE, EXITS = Path("docs/capture.md"), Path("docs/results/exits/safran-shamir-7.json")

HEAD = """# Capture balls: lower bounds of all passes

*Written by `benchmarks/capture_page.py`.*

A pass that was found, and a path whose height is proved, bound the way out of a minimum from above:
a lower one may have been missed. `morsescape.morse.capture.capture_ball` bounds it from below:
every path from the minimum out of a ball, found or not, rises by at least `rise`.

## The argument

m is a proved minimum of f, S any invertible matrix, ‖x‖ = |S⁻¹x|; S ≈ Hess f(m)^-½ makes ‖·‖ the
norm of the Hessian. Let c > 0 and a nondecreasing K be such that for all ‖v‖ = 1

    D²f(m)[v, v] ≥ c,        |D³f(x)[v, v, v]| ≤ K(t)  for ‖x - m‖ ≤ t.

Let b(t) = c - ∫₀ᵗ K, g(t) = ∫₀ᵗ b, q(t) = ∫₀ᵗ g, and let R be such that g > 0 on (0, R].

**Theorem.** In the ball B = {‖x - m‖ ≤ R}

1. f(x) ≥ f(m) + q(‖x - m‖), and m is the only critical point;
2. every path from m to a point outside of B reaches f(m) + q(R) at least: so does every pass out
   of B;
3. from a point x in B with f(x) < f(m) + q(R) every curve on which f falls stays in B, and the
   flow -P∇f, for any positive definite P, ends at m.

*Proof.* φ(t) = f(m + tv) has φ'(0) = 0, φ''(0) ≥ c and φ''' ≥ -K(t). So φ'' ≥ b, φ' ≥ g and φ ≥
f(m) + q, one integral after the other, for t ≤ R. φ' ≥ g > 0 is the derivative of f along the
ray: no point but m is critical. That is 1. A path that leaves B crosses its sphere, where f ≥
f(m) + q(R): 2. For 3, f is at least f(m) + q(R) on the sphere, so that a curve that starts lower
and falls does not reach it; the flow stays in a compact set whose only critical point is m, and
ends there. ∎

For constant K and c = 1, q(R) = R²/2 - KR³/6, and R may be any number below 2/K: the rise comes
near 2/(3K²). It is attained, by t²/2 - Kt³/6, whose pass is at t = 2/K. An enclosure of the
Hessian alone, Hess f ⪰ (1 - a) Hess f(m) on the ball, gives g = (1 - a) t and the rise (1 - a)
R²/2 by the same argument; where a grows as KR, that is 2/(27K²) at best, a ninth.

## How it is computed

- c: from the enclosed Hessian of y ↦ f(θ̂ + Sy) at the computed minimum θ̂, less K times the
  distance of m, which the certificate bounds.
- K: the program of the third derivatives of y ↦ f(x + Sy) at y = 0 is run on the box of all x
  within t; the tensor's spectral norm as a matrix of D rows and D² columns, of its middle, plus
  the Frobenius norm of its radii. The box is that around the ellipsoid.
- The ball ends where f may branch, and `reason` names by what: ReLU, but torch's softplus too,
  which is x itself above 20.
- K is taken anew in each of some shells, and b, g, q are summed in rational numbers.
- `holds(θ)` encloses f(θ) and bounds ‖θ - m‖, S⁻¹ never being known exactly.

The cost is that of D³ third derivatives; at most 60 variables are taken. The bound is weak where
boxes are much larger than balls: in many variables, and for soft directions, in which a unit of
‖·‖ is long, along which f changes fast.

## Measured

*The pass* is the lowest that is known above the minimum, rounded down for comparison: by hand in
the zoo, `embed`'s zero unit for networks, [the exit](exits.md) of the spurious minimum.

| | variables | every way out rises by at least | the pass | share | seconds |
|---|---|---|---|---|---|
"""


def two_layers(units: int, inputs: int, bias: bool) -> nn.Module:
    """Tanh between two layers."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(inputs, units), nn.Tanh(), nn.Linear(units, 1, bias=bias))


def over_zero_unit(
    units: int, x: Tensor, y: Tensor, l2: float, bias: bool
) -> tuple[ms.Objective, Tensor, float]:
    """A network, the minimum below its zero unit, and the rise to the pass there."""
    narrow, wide = (
        ms.Objective(two_layers(k, x.shape[1], bias), "mse", (x, y), l2=l2)
        for k in (units - 1, units)
    )
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(narrow.dim, generator=generator, dtype=torch.float64)
    found = embed(narrow, ms.find_critical_point(narrow, start).theta, wide)
    assert found.index == (1, 1)
    below = ms.find_critical_point(wide, found.theta + 0.05 * found.directions[0])
    return wide, below.theta, wide.value(found.theta) - below.value


def cases() -> Iterator[tuple[str, ms.Objective, Tensor, float]]:
    """What is on the page: name, landscape, minimum, the rise to the lowest known pass."""
    zoo = ms.zoo
    for landscape, where, rise in (
        (zoo.fold, (1, 0), 4 / 3),
        (zoo.double_well, (1, 0), 1.0),
        (zoo.two_wells, (-1, -1), 5 / 12),
        (zoo.himmelblau, (3, 2), 13.311926),
        (zoo.banana, (1, 0), 1.0),
        (zoo.double_wells(6), (1,) * 6, 0.25),
    ):
        yield landscape.name, landscape.objective(), torch.tensor(where).double(), rise
    line = torch.tensor([[-1.0], [0.0], [1.0]]).double()
    yield "1-2-1 network on a line, λ = 0.1", *over_zero_unit(2, line, line, 0.1, False)
    x = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]]).double()
    y = torch.tensor([[-1.0], [1], [1], [-1]]).double()
    for units in (2, 3):
        yield f"2-{units}-1 network, XOR, λ = 0.01", *over_zero_unit(units, x, y, 0.01, True)
    students, exits = zoo.safran_shamir(7, 7), read_json(EXITS)
    rise = exits["exits"][0]["f"] - exits["minimum"]["value"][1]
    where = torch.tensor(students.critical[1][0]).double()
    yield students.name + ", spurious minimum", students.objective(), where, rise


def shown(x: float) -> str:
    """Three digits, rounded down."""
    unit = 10.0 ** (math.floor(math.log10(x)) - 2)
    return f"{math.floor(x / unit) * unit:.3g}"


def main() -> None:
    """The page."""
    rows = []
    for name, f, where, rise in cases():
        minimum = ms.find_critical_point(f, where)
        start = time.process_time()
        ball = capture_ball(f, minimum)
        seconds = time.process_time() - start
        assert 0 < ball.rise < rise
        cells = name, f.dim, shown(ball.rise), shown(rise), f"{ball.rise / rise:.2g}"
        rows.append(f"| {' | '.join(map(str, cells))} | {seconds:.0f} |\n")
        print(rows[-1], end="", flush=True)
    PAGE.write_text(HEAD + "".join(rows))


if __name__ == "__main__":
    main()
