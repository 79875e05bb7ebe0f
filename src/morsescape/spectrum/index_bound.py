"""Bounds on the index that follow from the network's structure alone.

Let g be one layer's parameters, all others fixed. If every operation between g and the output is
affine or piecewise affine in g, then so is the output, and a loss that is convex in the output is
(locally) convex in g: the Hessian is positive semidefinite on the subspace S of those parameters.
By Cauchy interlacing its index is at most D - dim S. The last affine layer is such a g for any
activation; in a ReLU network every layer is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.func import functionalize
from torch.fx import GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._pytree import tree_flatten, tree_unflatten

from morsescape.model.source import Source

_AFFINE = frozenset(
    """view _unsafe_view reshape t transpose permute expand squeeze unsqueeze slice select clone
    alias detach cat stack split split_with_sizes unbind add sub neg mean sum constant_pad_nd
    avg_pool2d _adaptive_avg_pool2d avg_pool1d upsample_nearest2d flip roll index index_select
    gather unfold im2col diagonal repeat _to_copy contiguous as_strided getitem""".split()
)
_PIECEWISE = frozenset(
    """relu leaky_relu hardtanh max_pool2d_with_indices abs maximum minimum amax amin clamp
    clamp_min clamp_max _adaptive_max_pool2d where masked_fill""".split()
)
_BILINEAR = frozenset(
    """mul mm bmm addmm baddbmm convolution mv dot addmv _native_batch_norm_legit_no_training
    native_batch_norm cudnn_batch_norm miopen_batch_norm _batch_norm_no_update""".split()
)
# Not twice differentiable everywhere: piecewise affine, or smooth only once, or a step.
_NOT_C2 = (_PIECEWISE - {"where", "masked_fill"}) | frozenset(
    """elu celu selu hardswish hardsigmoid softshrink hardshrink threshold rrelu rrelu_with_noise
    prelu _prelu_kernel sign sgn floor ceil round trunc fix frac fmod remainder
    max_pool3d_with_indices adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d
    fractional_max_pool2d
    fractional_max_pool3d sort argsort topk kthvalue median nanmedian quantile nanquantile max min
    fmax fmin cummax cummin argmax argmin huber_loss smooth_l1_loss l1_loss hinge_embedding_loss
    margin_ranking_loss multi_margin_loss multilabel_margin_loss_forward norm linalg_vector_norm
    _cdist_forward _pdist_forward grid_sampler_2d grid_sampler_3d bucketize searchsorted
    gt ge lt le eq ne heaviside copysign nan_to_num scatter_reduce index_reduce
    binary_cross_entropy""".split()  # a comparison chooses between pieces
)


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


@dataclass
class _Flow:
    """Which layers' parameters reach a value, and through affine or piecewise affine steps only."""

    layers: frozenset[str] = frozenset()
    bent: frozenset[str] = frozenset()  # layers that reach it through anything else
    pieces: frozenset[str] = frozenset()  # layers that reach it through a piecewise affine step


@dataclass
class _Scan:
    flows: dict[Node, _Flow] = field(default_factory=dict)
    not_smooth: set[str] = field(default_factory=set)


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
        program = _program(net)
    except Exception as error:  # whatever the tracer cannot follow: then nothing is claimed
        why = f"the model cannot be traced: {_first_line(error)}"
        return Structure(net.dim, why, (), False)
    scan = _walk(program, net)
    scan.not_smooth |= _kinks_of_loss(net)
    output = _merge([scan.flows[n] for n in _results(program)])
    names = tuple(sorted(scan.not_smooth))
    if not net.loss.convex:
        return Structure(net.dim, "the loss is not known to be convex in the output", names)
    sizes: dict[str, int] = {}
    for name, shape in net.shapes.items():
        if _layer(name) in output.layers - output.bent:
            sizes[_layer(name)] = sizes.get(_layer(name), 0) + torch.Size(shape).numel()
    if not sizes:
        return Structure(net.dim, "the output is not affine in any one layer", names)
    best = max(sizes, key=lambda layer: sizes[layer])
    how = "piecewise affine" if best in output.pieces else "affine"
    reason = (
        f"the output is {how} in layer {best} ({sizes[best]:,} parameters), "
        f"and {net.loss} is convex in it"
    )
    return Structure(net.dim - sizes[best], reason, names)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _layer(name: str) -> str:
    """Weight and bias of one module belong together: the output is affine in both at once."""
    inside, _, own = name.rpartition(".")
    return inside or ("itself" if own in ("weight", "bias") else own)


def _program(net: Source) -> GraphModule:
    parameters = net.unflatten(net.theta)

    def output(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        return net.output(parameters, x)

    return make_fx(functionalize(output))(parameters, net.some(torch.arange(2) % net.samples)[0])


def _walk(program: GraphModule, net: Source) -> _Scan:
    scan = _Scan()
    names = iter(net.shapes)
    for node in program.graph.nodes:
        if node.op == "placeholder":
            name = next(names, None)  # the parameters come first, in order; then the inputs
            layers = frozenset() if name is None else frozenset({_layer(name)})
            scan.flows[node] = _Flow(layers)
        elif node.op == "call_function":
            scan.flows[node] = _step(node, scan)
        else:
            scan.flows[node] = _Flow()
    return scan


def _kinks_of_loss(net: Source) -> set[str]:
    """Operations of the loss that are not twice differentiable in the model's output."""
    x, y = net.some(torch.arange(2) % net.samples)
    with torch.set_grad_enabled(net.needs_graph):
        output = net.output(net.unflatten(net.theta), x)
    leaves, spec = tree_flatten(output)

    def share(*leaves: Any) -> Tensor:
        return net.share(tree_unflatten(list(leaves), spec), y)

    try:
        program = make_fx(functionalize(share))(*leaves)
    except Exception:  # as above
        return set()
    scan = _Scan()
    for node in program.graph.nodes:
        if node.op == "placeholder":
            scan.flows[node] = _Flow(frozenset({"output"}))
        else:
            scan.flows[node] = _step(node, scan) if node.op == "call_function" else _Flow()
    return scan.not_smooth


def _step(node: Node, scan: _Scan) -> _Flow:
    target: Any = node.target
    packet = getattr(target, "overloadpacket", target)
    name = packet.__name__.removesuffix("_")  # in place
    inputs = [scan.flows[n] for n in node.all_input_nodes]
    flow = _merge(inputs)
    if flow.layers and (name in _NOT_C2 or _is_a_step(name, node)):
        scan.not_smooth.add(name.removesuffix("_with_indices"))
    if name in _AFFINE:
        return flow
    if name in _PIECEWISE:
        return _Flow(flow.layers, flow.bent, flow.layers)
    if name in _BILINEAR:
        # An operand given twice (x * x) is one node: it meets itself.
        operands = [scan.flows[a] for a in node.args if isinstance(a, Node)]
        if "batch_norm" in name and any(a is True for a in node.args):
            return _Flow(flow.layers, flow.layers, flow.pieces)  # divides by the batch's own spread
        return _Flow(flow.layers, flow.bent | _meeting(name, operands), flow.pieces)
    if name == "div" and len(node.args) == 2:
        below = scan.flows[node.args[1]].layers if isinstance(node.args[1], Node) else frozenset()
        return _Flow(flow.layers, flow.bent | below, flow.pieces)
    return _Flow(flow.layers, flow.layers, flow.pieces)


def _is_a_step(name: str, node: Node) -> bool:
    """A conversion or a division that rounds to whole numbers."""
    if name == "_to_copy":
        dtype = node.kwargs.get("dtype")
        return isinstance(dtype, torch.dtype) and not (dtype.is_floating_point or dtype.is_complex)
    return name == "div" and node.kwargs.get("rounding_mode") is not None


def _meeting(name: str, operands: list[_Flow]) -> frozenset[str]:
    """Layers that both factors depend on: the product is quadratic in them."""
    if name in ("addmm", "baddbmm", "addmv"):
        operands = operands[1:]  # what is added is no factor
    if name == "convolution":
        operands = operands[:2]
    if "batch_norm" in name:  # input, weight, bias, mean, variance: the last four hold no input
        late = _merge(operands[1:]).layers
        return operands[0].layers & late | _merge(operands[3:]).layers
    met: frozenset[str] = frozenset()
    for k, a in enumerate(operands):
        for b in operands[k + 1 :]:
            met |= a.layers & b.layers
    return met


def _merge(flows: list[_Flow]) -> _Flow:
    return _Flow(
        frozenset().union(*(f.layers for f in flows)),
        frozenset().union(*(f.bent for f in flows)),
        frozenset().union(*(f.pieces for f in flows)),
    )


def _results(program: GraphModule) -> list[Node]:
    (output,) = (n for n in program.graph.nodes if n.op == "output")
    return output.all_input_nodes
