"""Does autograd differentiate f? Differences of values and of gradients along random directions.

H is what second differences of f say. A graph that is cut (detach, no_grad), a derivative of the
caller's own, or one that torch has wrong gives other numbers along almost every direction, so one
direction for each group of parameters finds it, at a point in general position near the model's
own. Steps of several sizes are taken, and any that agrees counts: near kinks only short ones do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import partial

import torch
from torch import Tensor
from torch.func import grad, jvp

from morsescape.model.differences import Quotients
from morsescape.model.reverse import product_backward, value_and_gradient
from morsescape.model.source import Share, Source

_GROUPS = 6


def contradiction(source: Source, places: Tensor, at: Tensor | None = None) -> str | None:
    """A sentence that says how autograd contradicts L on some samples; None if it does not.

    At the point `at`, or near that of the source, as far from it as L is defined.
    """
    value, theta = source.on(*source.some(places)), source.theta if at is None else at
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(len(theta), generator=generator, dtype=torch.float64)
    size = max(float(theta.norm()) / max(len(theta), 1) ** 0.5, 0.1)
    for spread in source.spreads if at is None else (0.0,):
        point = theta + spread * size * noise
        level, slope = value_and_gradient(value, point)
        if bool(level.isfinite()) and bool(slope.isfinite().all()):
            break
    else:
        return None
    direction = torch.randn(len(theta), generator=generator, dtype=torch.float64)
    for name, part in _groups(source):
        along = torch.zeros_like(direction)
        along[part] = direction[part] / direction[part].norm()
        claimed = (slope @ along).reshape(1)
        found = Quotients(partial(_level, value), point, along).refute(claimed, 0.0)
        if found is not None:
            return (
                f"differences of f along a random direction of {name} of {float(found):.6g}, where "
                f"the gradient by autograd says {float(claimed):.6g}"
            )
    return _wrong_curvature(value, point, direction / direction.norm())


def _level(value: Share, theta: Tensor) -> Tensor:
    with torch.enable_grad():
        return value(theta.clone().requires_grad_()).detach().reshape(1)


def _slope(value: Share, theta: Tensor) -> Tensor:
    return value_and_gradient(value, theta)[1]


def _wrong_curvature(value: Share, point: Tensor, along: Tensor) -> str | None:
    product = _product(value, point, along)
    if product is None or not bool(product.isfinite().all()):
        return None  # torch has none: said where it is asked for
    found = Quotients(partial(_slope, value), point, along).refute(product, 0.0)
    if found is None:
        return None
    off = float((found - product).norm())
    return (
        f"a Hessian-vector product by autograd that is {off:.3g} from differences of the gradient, "
        f"with entries up to {float(product.abs().max()):.3g}"
    )


def _groups(net: Source) -> Iterator[tuple[str, slice]]:
    """Neighbouring parameter tensors together, a few groups in all."""
    names = [n for n, s in net.slices.items() if s.stop > s.start]
    step = -(-len(names) // _GROUPS)
    for k in range(0, len(names), max(step, 1)):
        own = names[k : k + step]
        label = own[0] if len(own) == 1 else f"{own[0]} to {own[-1]}"
        yield label, slice(net.slices[own[0]].start, net.slices[own[-1]].stop)


def _product(value: Share, point: Tensor, along: Tensor) -> Tensor | None:
    with suppress(Exception):  # torch may know one way and not the other
        return product_backward(value, point, along)
    with suppress(Exception):
        found: Tensor = jvp(grad(value), (point,), (along,))[1]
        return found.detach()
    return None
