"""All critical points of a function of two variables: certified indices, and an alternating sum."""

import torch

import morsescape as ms


def himmelblau(t):
    """Four minima, four saddles, one maximum."""
    return (t[0] ** 2 + t[1] - 11) ** 2 + (t[0] + t[1] ** 2 - 7) ** 2


f = ms.Objective.from_function(himmelblau, dim=2)
found = {}
for a in torch.linspace(-4, 4, 7):
    for b in torch.linspace(-4, 4, 7):
        point = ms.find_critical_point(f, torch.stack([a, b]).double(), target="nearest")
        if point.index is not None:
            found[tuple(round(v, 6) for v in point.theta.tolist())] = point

indices = sorted(point.index for point in found.values())
print(indices)
assert all(point.certificate.status.name == "PROVED" for point in found.values())
assert indices == [0, 0, 0, 0, 1, 1, 1, 1, 2]
assert sum((-1) ** index for index in indices) == 1  # Poincaré and Hopf: f is coercive
