"""Output-space tangents: how every layer responds when one output of one layer moves.

A linear layer's parameters act only through its outputs s = W u + b, so instead of one tangent
per parameter, one tangent per output unit is enough. With e an offset added to the outputs,
delta_m = dL/de_m is the back-propagated error of layer m and u_m its input. For a source
direction (unit i of layer l, or a parameter) a forward-over-reverse pass gives the responses
d(delta_m) and d(u_m), and for m at or after l in the order of calls

    H[(l,i,p), (m,j,q)] = sum_n u_l[n,p] ( d(delta_m[n,j]) u_m[n,q] + delta_m[n,j] d(u_m[n,q]) ).

Blocks with m before l follow by symmetry, and only so: a change of W_l also alters how errors
pass back through layer l, which an offset on its outputs does not see.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import grad, jvp, vmap

from morsescape.hessian.layers import LinearCalls, LinearLayer, _Call
from morsescape.model.samples import count
from morsescape.model.source import Source


@dataclass(frozen=True)
class Plan:
    """Which parameters are studied through outputs, and which one by one."""

    layers: tuple[LinearLayer, ...]
    outputs: tuple[LinearLayer, ...]  # those studied through their outputs
    groups: tuple[tuple[str, ...], ...]  # parameters studied one by one, in the order of calls

    @property
    def single(self) -> tuple[str, ...]:
        """The names of all parameters studied one by one."""
        return tuple(name for group in self.groups for name in group)

    @property
    def positions(self) -> dict[str, int]:
        """Place of each output layer in the order of calls, by the name of its weight."""
        return {layer.weight: k for k, layer in enumerate(self.outputs)}


def choose(net: Source, layers: list[LinearLayer]) -> Plan:
    """Per layer, whichever is fewer: output tangents or parameter tangents."""
    outputs = tuple(x for x in layers if x.output_tangents <= x.n_parameters)
    known = {name for layer in layers for name in layer.names}
    # Parameters whose place in the order of calls is unknown come first: their rows are whole.
    some = (n for n, s in net.slices.items() if s.stop > s.start)  # some have no elements
    others = tuple((name,) for name in some if name not in known)
    return Plan(tuple(layers), outputs, others + tuple(x.names for x in layers if x not in outputs))


Deltas = dict[str, Tensor]  # by weight name, (n, positions, units)
Inputs = dict[str, Tensor]  # by weight name, (n, positions, features)


class Responses:
    """The functions to be traced: `primal`, `from_layer(l)`, `from_parameters(start, stop)`."""

    def __init__(self, net: Source, plan: Plan) -> None:
        self.net = net
        self.plan = plan
        self.selections = {x.weight: x.selection for x in plan.layers}
        self.layers = {layer.weight: layer for layer in plan.outputs}

    def loss(self, theta: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """The chunk's loss, with convolutions as products of patches."""
        return self._run(self.net.unflatten(theta), x, y, self._zeros(x, theta))[0]

    def primal(self, theta: Tensor, x: Tensor, y: Tensor) -> tuple[Deltas, Inputs, Tensor]:
        """delta_m and u_m of every output layer, and the loss.

        The loss is there so that its operations are followed: one that torch cannot
        differentiate would otherwise pass for a constant.
        """
        parameters = self.net.unflatten(theta)
        loss, _ = self._run(parameters, x, y, self._zeros(x, theta))
        deltas, inputs = self._errors(parameters, x, y, {})
        return deltas, inputs, loss

    def from_layer(self, source: LinearLayer) -> Callable[..., tuple[Deltas, Inputs]]:
        """d(delta_m), d(u_m) for m at or after `source`; tangents (position, unit) lead."""
        after = self.plan.outputs[self.plan.positions[source.weight] :]

        def responses(theta: Tensor, x: Tensor, y: Tensor) -> tuple[Deltas, Inputs]:
            parameters = self.net.unflatten(theta)
            zero = theta.new_zeros(count(x), source.positions, source.units)
            basis = torch.eye(source.output_tangents, dtype=theta.dtype, device=theta.device)

            def along(direction: Tensor) -> tuple[Deltas, Inputs]:
                tangent = direction.view(source.positions, source.units).expand_as(zero)
                _, moved = jvp(  # type: ignore[misc]  # the stubs always expect aux
                    lambda e: self._errors(parameters, x, y, {source.weight: e}),
                    (zero,),
                    (tangent,),
                )
                return moved

            deltas, inputs = vmap(along)(basis)
            return (
                {m.weight: deltas[m.weight] for m in after},
                {m.weight: inputs[m.weight] for m in after[1:]},
            )

        return responses

    def from_parameters(self, group: int) -> Callable[..., tuple[Deltas, Inputs, Tensor]]:
        """All d(delta_m), d(u_m) and d(gradient) along one direction among a group's parameters.

        The gradient is that on the parameters of this and all later groups.
        """
        own, later = self.plan.groups[group], self.plan.groups[group + 1 :]
        names = own + tuple(name for g in later for name in g)

        def responses(
            theta: Tensor, x: Tensor, y: Tensor, direction: Tensor
        ) -> tuple[Deltas, Inputs, Tensor]:
            parameters = self.net.unflatten(theta)
            sizes = [parameters[n].numel() for n in own]
            parts = zip(own, direction.split(sizes), strict=True)
            tangents = {n: part.view_as(parameters[n]) for n, part in parts}

            def moving(w: dict[str, Tensor]) -> tuple[Deltas, Inputs, Tensor]:
                return self._gradients({**parameters, **w}, names, x, y)

            return jvp(moving, ({n: parameters[n] for n in own},), (tangents,))[1]

        return responses

    def _gradients(
        self, parameters: dict[str, Tensor], names: tuple[str, ...], x: Tensor, y: Tensor
    ) -> tuple[Deltas, Inputs, Tensor]:
        """delta_m, u_m and the gradient with respect to the named parameters, flattened."""

        def loss(offsets: dict[str, Tensor], w: dict[str, Tensor]) -> tuple[Tensor, Inputs]:
            return self._run({**parameters, **w}, x, y, offsets)

        w = {n: parameters[n] for n in names}
        zeros = self._zeros(x, next(iter(parameters.values())))
        (deltas, gradient), inputs = grad(loss, argnums=(0, 1), has_aux=True)(zeros, w)
        return deltas, inputs, torch.cat([gradient[n].reshape(-1) for n in names])

    def _errors(
        self, parameters: dict[str, Tensor], x: Tensor, y: Tensor, offsets: dict[str, Tensor]
    ) -> tuple[Deltas, Inputs]:
        every = {**self._zeros(x, next(iter(parameters.values()))), **offsets}
        return grad(lambda e: self._run(parameters, x, y, e), has_aux=True)(every)

    def _zeros(self, x: Tensor, like: Tensor) -> dict[str, Tensor]:
        return {m.weight: like.new_zeros(count(x), m.positions, m.units) for m in self.plan.outputs}

    def _run(
        self, parameters: dict[str, Tensor], x: Tensor, y: Tensor, offsets: dict[str, Tensor]
    ) -> tuple[Tensor, Inputs]:
        """The chunk's loss with offsets added to the layers' outputs, and the layers' inputs."""
        inputs: Inputs = {}

        def offset(weight: str, bias: str | None, call: _Call) -> Tensor | None:
            selection = self.selections.get(weight)
            patches = call.inputs() if selection is None or weight in self.layers else None
            if selection is not None:  # the way back through a matrix is a product, not many sums
                out = call.apply_as_matrix(selection)
            else:
                assert patches is not None
                out = call.apply(patches)
            if weight not in self.layers:
                return out
            assert patches is not None
            inputs[weight] = patches
            return out + offsets[weight]

        with LinearCalls(parameters, offset):
            output = self.net.output(parameters, x)
        return self.net.share(output, y), inputs
