"""What an exact Hessian will cost, and how each layer will be studied, before anything runs."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from morsescape.hessian.assembly import chunk_size, sample_bytes
from morsescape.hessian.dense import BUDGET
from morsescape.hessian.layers import LinearLayer, linear_layers
from morsescape.hessian.tangents import Plan, choose
from morsescape.model.source import Source

FUNCTION = 300.0  # flops of a gradient for each variable, where nothing is known of it
OUTPUTS, PARAMETERS = "output tangents", "parameter tangents"


@dataclass(frozen=True)
class LayerPlan:
    """How some parameters are studied: through how many tangents of which kind, and why."""

    names: tuple[str, ...]
    parameters: int
    kind: str
    tangents: int
    why: str

    def __str__(self) -> str:
        return f"{' + '.join(self.names)}: {self.tangents} {self.kind} ({self.why})"


@dataclass(frozen=True)
class HessianPlan:
    """Per layer what was decided; flops and bytes of the whole, roughly."""

    layers: tuple[LayerPlan, ...]
    dim: int
    samples: int  # 0 for a function
    chunk: int  # samples taken at a time
    flops: float
    bytes: int  # the matrix and what one chunk needs

    def __str__(self) -> str:
        samples = f", {self.samples:,} samples, {self.chunk:,} at a time" if self.samples else ""
        lines = [
            f"{self.dim:,} parameters{samples}",
            *map(str, self.layers),
            f"about {self.flops / 1e9:,.1f} Gflop and {self.bytes / 2**30:,.2f} GiB",
        ]
        return "\n".join(lines)


def hessian_plan(net: Source, *, budget: int = BUDGET) -> HessianPlan:
    """How `exact_hessian` will study each layer of the network, and what that takes.

    A linear layer or convolution needs one tangent per output or one per parameter, whichever is
    fewer. What enters otherwise, or is used twice, needs one per parameter.

    Example:
        >>> import torch
        >>> from morsescape.nets import build
        >>> from morsescape.model.network import Network
        >>> data = torch.zeros(100, 1, 28, 28), torch.zeros(100, dtype=torch.long)
        >>> net = Network(build("mlp2"), "cross_entropy", data, torch.float64)
        >>> print(hessian_plan(net))
        7,960 parameters, 100 samples, 100 at a time
        1.weight + 1.bias: 10 output tangents (fewer than its 7,850 parameters)
        3.weight + 3.bias: 10 output tangents (fewer than its 110 parameters)
        about 3.7 Gflop and 0.61 GiB
    """
    if not net.of_samples:
        layer = LayerPlan(("theta",), net.dim, PARAMETERS, net.dim, "a function has no layers")
        flops = 4.0 * net.dim * net.dim * FUNCTION
        return HessianPlan((layer,), net.dim, 0, 0, flops, 96 * net.dim**2)
    plan = choose(net, linear_layers(net, net.theta))
    known = {x.names: x for x in plan.layers}
    layers = [_through_outputs(x) for x in plan.outputs]
    for names in plan.groups:
        size = sum(torch.Size(net.shapes[n]).numel() for n in names)
        layers.append(LayerPlan(names, size, PARAMETERS, size, _why(known.get(names))))
    chunk = chunk_size(net, plan, budget)
    item = net.theta.element_size()
    most = max((x.tangents for x in layers), default=1)
    space = (
        item * net.dim**2
        + min(budget, chunk * most * sample_bytes(net, plan))
        + 24 * item * (max((x.features + 1 for x in plan.outputs), default=1) ** 2)
    )
    return HessianPlan(tuple(layers), net.dim, net.samples, chunk, _flops(net, plan), space)


def _through_outputs(layer: LinearLayer) -> LayerPlan:
    why = f"fewer than its {layer.n_parameters:,} parameters"
    if layer.output_tangents == layer.n_parameters:
        why = "as many as its parameters"
    return LayerPlan(layer.names, layer.n_parameters, OUTPUTS, layer.output_tangents, why)


def _why(layer: LinearLayer | None) -> str:
    if layer is None:
        return "not the weights of one linear or convolution call"
    return f"fewer than its {layer.output_tangents:,} outputs"


def _flops(net: Source, plan: Plan) -> float:
    """Of the contractions and of the tangents' passes (four products per layer and tangent)."""
    widths = [x.positions * x.n_parameters for x in plan.layers]
    tangents = sum(x.output_tangents for x in plan.outputs)
    tangents += sum(torch.Size(net.shapes[n]).numel() for n in plan.single)
    flops = 8.0 * tangents * sum(widths)
    for k, source in enumerate(plan.outputs):
        p = source.n_parameters / source.units
        for target in plan.outputs[k:]:
            if target is source and source.positions == 1:
                flops += source.units * (source.units + 1) / 2 * p**2
            else:
                flops += 2 * source.output_tangents * p * target.n_parameters
    return flops * net.samples
