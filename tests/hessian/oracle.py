"""Independent ways to the same Hessian: double backward here, closed forms in the tests."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from morsescape.model.network import Network


def oracle(net: Network, theta: Tensor | None = None) -> Tensor:
    """Double backward in float64, one column at a time, on all samples at once."""
    theta = (net.theta if theta is None else theta).double().clone().requires_grad_()
    loss = net.chunk_loss(net.unflatten(theta), net.x, net.y)
    (gradient,) = torch.autograd.grad(loss, theta, create_graph=True)
    rows = [
        torch.autograd.grad(g, theta, retain_graph=True, allow_unused=True)[0]
        if g.requires_grad else None
        for g in gradient
    ]  # fmt: skip
    return torch.stack([torch.zeros_like(theta) if r is None else r for r in rows])


def network(
    model: nn.Module, loss: object = "cross_entropy", x: Tensor | None = None,
    classes: int = 3, samples: int = 7, dtype: torch.dtype = torch.float64, seed: int = 0,
) -> Network:  # fmt: skip
    """The model on random inputs and targets, with parameters drawn from `seed`."""
    generator = torch.Generator().manual_seed(seed)
    model = model.eval()
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=generator) * 0.5)
    if x is None:
        x = torch.randn(samples, 5, generator=generator)
    if loss == "cross_entropy":
        y = torch.randint(0, classes, (len(x),), generator=generator)
    else:
        with torch.no_grad():
            out = model.double()(x.double() if x.is_floating_point() else x)
        y = torch.randn(out.shape, generator=generator)
    return Network(model, loss, (x, y), dtype)
