"""Bounds on the index that follow from the network's structure alone.

Let g be one layer's parameters, all others fixed. If every operation between g and the output is
affine or piecewise affine in g, then so is the output, and a loss that is convex in the output is
(locally) convex in g: the Hessian is positive semidefinite on the subspace S of those parameters.
By Cauchy interlacing its index is at most D - dim S. The last affine layer is such a g for any
activation; in a ReLU network every layer is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from morsescape.errors import first_line
from morsescape.model.source import Source
from morsescape.rounding.affine import Flow, Shape, flows_of, together
from morsescape.rounding.program import NotTraceable, Program, record


@dataclass(frozen=True)
class Structure:
    """What can be said of the index before any number is computed.

    Attributes:
        upper_bound: the index is at most this, wherever the Hessian exists; D if nothing is known.
        reason: why, in a sentence.
        not_smooth: operations in the model that are not twice differentiable everywhere.
        followed: whether the model could be followed, so that `not_smooth` names all there are.
    """

    upper_bound: int
    reason: str
    not_smooth: tuple[str, ...]
    followed: bool = True


def structure_of(net: Source) -> Structure:
    """The structural bound on the index of the Hessian of L, and of L + λ‖θ‖² for any λ ≥ 0.

    Example:
        >>> import torch
        >>> from morsescape.model.network import Network
        >>> from morsescape.nets import build
        >>> data = torch.rand(4, 1, 28, 28), torch.arange(4)
        >>> def bound(name, activation):
        ...     model = build(name, activation=activation).eval()
        ...     return structure_of(Network(model, "cross_entropy", data, torch.float64))
        >>> bound("cnn", "relu").upper_bound, bound("mlp2", "relu").upper_bound
        (52, 110)
        >>> print(bound("mlp2", "tanh").upper_bound, bound("mlp2", "tanh").reason)
        7850 the output is affine in layer 3 (110 parameters), and cross_entropy is convex in it
    """
    found: Structure = net.programs.get("structure", None, lambda: _structure(net))
    return found


def _structure(net: Source) -> Structure:
    if not net.of_samples:
        return Structure(net.dim, "nothing is known of the structure", (), False)
    try:
        program = _model(net)
    except Exception as error:  # whatever torch cannot follow: then nothing is claimed
        return Structure(net.dim, f"the model cannot be traced: {first_line(error)}", (), False)
    layers = [Flow({_layer(name): Shape.AFFINE}) for name in net.shapes]
    outputs, rough = flows_of(program, *layers, *[Flow()] * (program.inputs - len(layers)))
    names = tuple(sorted(rough | _kinks_of_loss(net)))
    if net.doubts:
        why = f"the model cannot be traced: what is differentiated need not be f ({net.doubts[0]})"
        return Structure(net.dim, why, names, False)
    if not net.loss.convex:
        return Structure(net.dim, "the loss is not known to be convex in the output", names)
    sizes: dict[str, int] = {}
    shapes = together(outputs)
    for name, shape in net.shapes.items():
        if shapes.get(_layer(name), Shape.BENT) is not Shape.BENT:
            sizes[_layer(name)] = sizes.get(_layer(name), 0) + torch.Size(shape).numel()
    if not sizes:
        return Structure(net.dim, "the output is not affine in any one layer", names)
    best = max(sizes, key=lambda layer: sizes[layer])
    how = "affine" if shapes[best] is Shape.AFFINE else "piecewise affine"
    reason = (
        f"the output is {how} in layer {best} ({sizes[best]:,} parameters), "
        f"and {net.loss} is convex in it"
    )
    return Structure(net.dim - sizes[best], reason, names)


def _layer(name: str) -> str:
    """Weight and bias of one module belong together: the output is affine in both at once."""
    inside, _, own = name.rpartition(".")
    return inside or ("itself" if own in ("weight", "bias") else own)


def _model(net: Source) -> Program:
    """The output as a function of the parameters and the inputs of two samples.

    Raises:
        NotTraceable: numbers, shapes or branches come from the values of tensors.
    """

    def output(parameters: dict[str, Tensor], x: Any) -> Any:
        with torch.set_grad_enabled(net.needs_graph):
            return net.output(parameters, x)

    program = record(output, net.unflatten(net.theta), net.some(torch.arange(2) % net.samples)[0])
    if program.assumed:
        raise NotTraceable("one that branches on the values of a tensor")
    return program


def _kinks_of_loss(net: Source) -> frozenset[str]:
    """Operations of the loss that are not twice differentiable in the model's output."""
    x, y = net.some(torch.arange(2) % net.samples)
    with torch.set_grad_enabled(net.needs_graph):
        output = net.output(net.unflatten(net.theta), x)
    leaves, spec = tree_flatten(output)

    def share(*leaves: Any) -> Tensor:
        return net.share(tree_unflatten(list(leaves), spec), y)

    try:
        program = record(share, *leaves)
    except Exception:  # as above
        return frozenset()
    return flows_of(program, *[Flow(output=Shape.AFFINE)] * program.inputs)[1]
