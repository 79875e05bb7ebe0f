"""The wells and the trap: every listed point is critical, with its index and its pass."""

import pytest
import torch

from morsescape.morse.handles import handles
from morsescape.zoo import Landscape, double_wells, plane_trap


@pytest.mark.parametrize(
    "land", [double_wells(1), double_wells(3), plane_trap], ids=lambda x: x.name
)
def test_listed_points_are_what_they_are_said_to_be(land: Landscape) -> None:
    def f(t: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(land.fn(t.unbind(), torch))

    points = [torch.tensor(point, dtype=torch.float64) for point, _ in land.critical]
    for theta, (_, (index, nullity)) in zip(points, land.critical, strict=True):
        eigenvalues = torch.linalg.eigvalsh(torch.func.hessian(f)(theta))
        assert torch.func.grad(f)(theta).abs().max() == 0
        assert ((eigenvalues < 0).sum(), (eigenvalues == 0).sum()) == (index, nullity)
    heights = [float(f(t)) for t in points]
    signs = [index for _, (index, _) in land.critical]
    assert land.passes == tuple(h for h, k in zip(heights, signs, strict=True) if k == 1)
    built = handles([((h, h), k) for h, k in zip(heights, signs, strict=True)], land.dim)
    assert built.audit().startswith("nothing speaks against")


def test_six_wells_are_counted() -> None:
    signs = [index for _, (index, _) in double_wells(6).critical]
    assert (len(signs), signs.count(0), signs.count(1)) == (729, 64, 192)
