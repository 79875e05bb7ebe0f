"""Products with the Gauss-Newton part of a Hessian, for several vectors at once.

    Hess L = G + R,   G = sum_n J_n^T (Hess_z loss) J_n,   J_n = d z_n / d theta,

z_n the model's output on sample n. Where the loss is convex in the output G is positive
semidefinite. R = sum_n sum_c (d loss / d z_nc) Hess z_nc is what the curvature of the model adds.
G itself is never formed: a product is a forward derivative of the output, one of the loss's
gradient at the output, and a reverse pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import grad, jvp, vjp, vmap

from morsescape.hessian.layers import LinearCalls, _Call, linear_layers
from morsescape.model.samples import count
from morsescape.model.source import Source
from morsescape.progress import StageProgress

BUDGET = 2**24  # bytes of the largest array: the vectors' tangents of one chunk, near the cache
_MOST = 1024  # samples in a chunk: more gains nothing
Output = Callable[[Tensor], Tensor]


def gauss_newton_products(
    net: Source,
    theta: Float[Tensor, " D"],
    vectors: Float[Tensor, "k D"],
    *,
    budget: int = BUDGET,
    progress: StageProgress | None = None,
) -> Float[Tensor, "k D"]:
    """G(θ) v for each row v of `vectors`, summed over all samples.

    Args:
        net: the model, its loss and the data.
        theta: the point.
        vectors: k directions.
        budget: bytes that the largest array of a chunk may take; it sets the samples in a chunk.
        progress: called as progress(samples done, samples).

    Source:
        Schraudolph, Neural Computation 14 (2002).

    Example:
        >>> from morsescape.model.network import Network
        >>> model = torch.nn.Linear(2, 1)
        >>> data = torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0]])
        >>> net = Network(model, "mse", data, torch.float64)
        >>> gauss_newton_products(net, net.theta, torch.eye(3).double())
        tensor([[2., 4., 2.],
                [4., 8., 4.],
                [2., 4., 2.]], dtype=torch.float64)
    """
    total = torch.zeros_like(vectors)
    if len(vectors) == 0:
        return total
    for output, share in _chunks(net, theta, len(vectors), budget, progress):
        z, pull = vjp(output, theta)  # type: ignore[misc]  # the stubs always expect aux
        total += vmap(partial(_product, output, share, theta, z, pull))(vectors)
    return total


def gauss_newton_curvatures(
    net: Source,
    theta: Float[Tensor, " D"],
    vectors: Float[Tensor, "k D"],
    *,
    budget: int = BUDGET,
    progress: StageProgress | None = None,
) -> Float[Tensor, " k"]:
    """vᵀ G(θ) v for each row v of `vectors`: without the reverse pass, at half the price or less.

    Example:
        >>> from morsescape.model.network import Network
        >>> model = torch.nn.Linear(2, 1)
        >>> data = torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0]])
        >>> net = Network(model, "mse", data, torch.float64)
        >>> gauss_newton_curvatures(net, net.theta, torch.eye(3).double())
        tensor([2., 8., 2.], dtype=torch.float64)
    """
    total = vectors.new_zeros(len(vectors))
    if len(vectors) == 0:
        return total
    for output, share in _chunks(net, theta, len(vectors), budget, progress):
        z = output(theta)
        total += vmap(partial(_curvature, output, share, theta, z))(vectors)
    return total


# -- inside ---------------------------------------------------------------------------------------


def _product(
    output: Output, share: Output, theta: Tensor, z: Tensor, pull: Callable[..., tuple[Tensor]],
    v: Tensor,
) -> Tensor:  # fmt: skip
    return pull(_bend(share, z, _push(output, theta, v)))[0]


def _curvature(output: Output, share: Output, theta: Tensor, z: Tensor, v: Tensor) -> Tensor:
    moved = _push(output, theta, v)
    return (moved * _bend(share, z, moved)).sum()


def _push(output: Output, theta: Tensor, v: Tensor) -> Tensor:
    """J v."""
    return jvp(output, (theta,), (v,))[1]


def _bend(share: Output, z: Tensor, moved: Tensor) -> Tensor:
    """(Hess_z loss) J v."""
    return jvp(grad(share), (z,), (moved,))[1]


def _chunks(
    net: Source, theta: Tensor, vectors: int, budget: int, progress: StageProgress | None
) -> Iterator[tuple[Output, Output]]:
    """For each chunk its output as a function of θ, and its share of L as one of the output."""
    layers = linear_layers(net, theta)
    widths = [layer.positions * layer.units for layer in layers] or [net.sample_numbers]
    fitting = budget // (theta.element_size() * max(1, vectors) * max(widths))
    selections = {layer.weight: layer.selection for layer in layers}
    done = 0
    for x, y in net.chunks(max(1, min(_MOST, net.samples, fitting))):
        yield partial(_output, net, selections, x), partial(_share, net, y)
        done += count(x)
        if progress is not None:
            progress(done, net.samples)


def _output(net: Source, selections: dict[str, Tensor | None], x: Tensor, theta: Tensor) -> Tensor:
    """The model's output, convolutions as products of matrices: several times faster in float64."""

    def apply(weight: str, bias: str | None, call: _Call) -> Tensor:
        selection = selections.get(weight)
        return call.apply(call.inputs()) if selection is None else call.apply_as_matrix(selection)

    parameters = net.unflatten(theta)
    with LinearCalls(parameters, apply):
        return net.output(parameters, x)


def _share(net: Source, y: Tensor, z: Tensor) -> Tensor:
    return net.share(z, y)
