"""Find the layers through which parameters act linearly: s = W u + b.

A mode that watches torch's own calls sees every `linear` and `conv2d` a model makes, whatever
its modules are called. A convolution is a linear layer on patches. A layer whose weight and
bias are used once, and nowhere else, can be studied through its outputs s (see `tangents`);
every other parameter is studied one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from morsescape.model.source import Source
from morsescape.rounding.dependence import Dependence, Shadow, is_row_by_row, rows_of_samples
from morsescape.rounding.program import NotTraceable, record


@dataclass(frozen=True)
class LinearLayer:
    """s[n, a, i] = sum_p W[i, p] u[n, a, p] + b[i] at the positions a of sample n."""

    weight: str
    bias: str | None
    units: int
    features: int
    positions: int
    fixed_input: bool  # its input depends on the sample alone, not on the parameters
    last: bool  # its output is the model's output
    selection: Tensor | None = field(default=None, compare=False)  # see `Image.selection`

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its parameters."""
        return (self.weight,) if self.bias is None else (self.weight, self.bias)

    @property
    def n_parameters(self) -> int:
        """How many parameters it has."""
        return self.units * (self.features + (self.bias is not None))

    @property
    def output_tangents(self) -> int:
        """How many tangents its outputs need."""
        return self.units * self.positions


@dataclass(frozen=True)
class _Call:
    """One linear operation, in the shape all of them share."""

    weight: Tensor
    bias: Tensor | None
    inputs: Callable[[], Tensor]  # (n, positions, features)
    shape: Callable[[Tensor], Tensor]  # (n, positions, units) -> what the model expects
    image: Image | None = None  # of a convolution

    def apply(self, inputs: Tensor) -> Tensor:
        """W u + b."""
        flat = self.weight.reshape(self.weight.shape[0], -1)
        out = inputs @ flat.t()
        return out if self.bias is None else out + self.bias

    def apply_as_matrix(self, selection: Tensor) -> Tensor:
        """A small convolution as one matrix on flattened images: no patches of every tangent."""
        assert self.image is not None
        matrix = (selection @ self.weight.reshape(-1, 1)).view(self.image.pixels, -1)
        out = self.image.x.reshape(-1, self.image.pixels) @ matrix
        out = out.view(len(out), len(self.weight), -1).transpose(1, 2)
        return out if self.bias is None else out + self.bias


MATRIX_ENTRIES = 4_000_000  # of the 0/1 array that spreads a kernel over its matrix


@dataclass(frozen=True)
class Image:
    """What a convolution needs besides its weight."""

    x: Tensor
    kernel: tuple[int, ...]
    size: tuple[int, int]  # of the output
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]

    @property
    def pixels(self) -> int:
        """Numbers per input image."""
        return self.x[0].numel()

    @property
    def matrix_entries(self) -> int:
        """Entries of `selection`."""
        units = self.kernel[0]
        outputs = units * self.size[0] * self.size[1]
        return self.pixels * outputs * torch.Size(self.kernel).numel()

    def patches(self, x: Tensor) -> Tensor:
        """(n, positions, channels * kh * kw): a view of each window, copied once."""
        (ph, pw), (sh, sw), (dh, dw) = self.padding, self.stride, self.dilation
        kh, kw = self.kernel[2:]
        padded = F.pad(x, (pw, pw, ph, ph))
        windows = padded.unfold(2, dh * (kh - 1) + 1, sh).unfold(3, dw * (kw - 1) + 1, sw)
        windows = windows[..., ::dh, ::dw].permute(0, 2, 3, 1, 4, 5)
        return windows.reshape(len(x), self.size[0] * self.size[1], -1)

    def selection(self) -> Tensor:
        """0/1 array S with (S w)[pixel, output] the weight that joins them, flattened."""
        unit_images = torch.eye(self.pixels).view(self.pixels, *self.x.shape[1:])
        patches = self.patches(unit_images)  # (pixels, positions, features)
        units = self.kernel[0]
        spread = torch.einsum("pof,uv->puovf", patches, torch.eye(units))
        return spread.reshape(-1, units * patches.shape[2])


class LinearCalls(TorchFunctionMode):
    """Hands every linear call on a watched parameter to `handle`, and notes all other uses."""

    def __init__(
        self,
        parameters: Mapping[str, Tensor],
        handle: Callable[[str, str | None, _Call], Tensor | None],
    ) -> None:
        super().__init__()
        self.parameters = parameters
        self.handle = handle
        self.other_uses: set[str] = set()
        self.level = _level()
        self.results: dict[str, tuple[Tensor, int]] = {}  # by weight: what the call gave, as new

    def name_of(self, tensor: object) -> str | None:
        """The watched parameter that this very tensor is."""
        return next((n for n, p in self.parameters.items() if p is tensor), None)

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        inside = _level() > self.level  # of a vmap of the model's own: dimensions are hidden there
        if (
            not inside
            and func in _READERS
            and (call := _READERS[func](*args, **kwargs)) is not None
        ):
            weight = self.name_of(call.weight)
            bias = None if call.bias is None else self.name_of(call.bias)
            if weight is not None and (call.bias is None or bias is not None):
                out = self.handle(weight, bias, call)
                if out is not None:
                    result = call.shape(out)
                    self.results[weight] = result, result._version
                    return result
        if func not in _HARMLESS:
            uses = (self.name_of(t) for t in _tensors((args, list(kwargs.values()))))
            self.other_uses.update(name for name in uses if name is not None)
        return func(*args, **kwargs)


def _level() -> int:
    """How many function transforms are running."""
    return int(torch._C._functorch.maybe_current_level() or 0)


def _tensors(part: Any) -> Iterable[Tensor]:
    if isinstance(part, Tensor):
        yield part
    elif isinstance(part, list | tuple):
        for item in part:
            yield from _tensors(item)


_HARMLESS: set[Any] = {Tensor.size, Tensor.dim} | {
    getattr(Tensor, name).__get__ for name in ("shape", "dtype", "device", "requires_grad")
}


def _read_linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> _Call | None:
    if input.ndim < 2 or input.numel() == 0 or weight.numel() == 0:
        return None
    shape = (*input.shape[:-1], weight.shape[0])

    def inputs() -> Tensor:
        return input.reshape(input.shape[0], -1, input.shape[-1])

    return _Call(weight, bias, inputs, lambda s: s.reshape(shape))


def _pair(value: int | tuple[int, ...]) -> tuple[int, int]:
    pair = (value, value) if isinstance(value, int) else tuple(value) * (2 // len(value))
    return pair[0], pair[1]


def _read_conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> _Call | None:
    if groups != 1 or isinstance(padding, str) or input.ndim != 4:
        return None
    (sh, sw), (ph, pw), (dh, dw) = _pair(stride), _pair(padding), _pair(dilation)
    units, _, kh, kw = weight.shape
    height = (input.shape[2] + 2 * ph - dh * (kh - 1) - 1) // sh + 1
    width = (input.shape[3] + 2 * pw - dw * (kw - 1) - 1) // sw + 1
    image = Image(input, tuple(weight.shape), (height, width), (sh, sw), (ph, pw), (dh, dw))

    def shape(s: Tensor) -> Tensor:
        return s.transpose(1, 2).reshape(len(input), units, height, width)

    return _Call(weight, bias, lambda: image.patches(input), shape, image)


_READERS: dict[Any, Callable[..., _Call | None]] = {
    F.linear: _read_linear,
    F.conv2d: _read_conv2d,
}


def linear_layers(net: Source, theta: Tensor) -> list[LinearLayer]:
    """The network's linear layers, in the order in which they are called.

    Those whose inputs have one row for each sample, which depends on that sample alone.
    """
    found: list[LinearLayer] = net.programs.get("layers", None, lambda: _find_layers(net, theta))
    return found


_FEW = (3, 5)  # samples: what has one row for each has another number of rows with each


def _find_layers(net: Source, theta: Tensor) -> list[LinearLayer]:
    if net.loss.at_once:  # a unit's response on one sample depends on all the others
        return []
    first, second = ({x.weight: x for x in _called(net, theta, few)} for few in _FEW)
    alike = [x for x in first.values() if second.get(x.weight) == x]
    try:
        return _of_samples(net, theta, alike)
    except (NotTraceable, RuntimeError, TypeError, ValueError, IndexError):
        return []  # then parameters are studied one by one


def _called(net: Source, theta: Tensor, few: int) -> list[LinearLayer]:
    """Layers used once whose inputs have as many rows as there are samples."""
    parameters = net.unflatten(theta.detach().clone().requires_grad_())
    found: list[tuple[str, str | None, Tensor, Tensor | None]] = []

    def note(weight: str, bias: str | None, call: _Call) -> Tensor:
        inputs = call.inputs()
        out = call.apply(inputs)
        found.append((weight, bias, inputs, _selection(call)))
        return out

    x, _ = net.some(torch.arange(few) % net.samples)
    with torch.enable_grad(), LinearCalls(parameters, note) as calls:
        output = net.output(parameters, x)
    names = [name for weight, bias, *_ in found for name in (weight, bias) if name]
    layers = []
    for weight, bias, inputs, selection in found:
        own = [name for name in (weight, bias) if name]
        once = all(names.count(name) == 1 and name not in calls.other_uses for name in own)
        if not once or inputs.shape[0] != few or inputs.shape[1] == 0:
            continue
        result, version = calls.results[weight]
        # The very tensor, not one with equal numbers: a ReLU may leave these samples as they are.
        last = result is output and result._version == version
        _, positions, features = inputs.shape
        units = parameters[weight].shape[0]
        fixed = not inputs.requires_grad
        layers.append(LinearLayer(weight, bias, units, features, positions, fixed, last, selection))
    return layers


def _of_samples(net: Source, theta: Tensor, layers: list[LinearLayer]) -> list[LinearLayer]:
    """Those that see sample n in row n, and whose row n reaches the output of sample n alone.

    Their outputs get offsets, row n of which is marked as sample n's own.
    """
    if layers and _apart(net, theta, layers):
        return layers
    alone = [x for x in layers if _apart(net, theta, [x])]
    return alone if len(alone) <= 1 or _apart(net, theta, alone) else []


def _apart(net: Source, theta: Tensor, layers: list[LinearLayer]) -> bool:
    few = _FEW[0]
    x, y = net.some(torch.arange(few) % net.samples)
    zeros = {m.weight: theta.new_zeros(few, m.positions, m.units) for m in layers}

    def moving(theta: Tensor, x: Any, y: Any, offsets: dict[str, Tensor]) -> Any:
        inputs: dict[str, Tensor] = {}

        def offset(weight: str, bias: str | None, call: _Call) -> Tensor | None:
            if weight not in offsets:
                return None
            inputs[weight] = call.inputs()
            return call.apply(inputs[weight]) + offsets[weight]

        parameters = net.unflatten(theta)
        with LinearCalls(parameters, offset):
            output = net.output(parameters, x)
        return (output if net.row_by_row else net.share(output, y)), inputs

    program = record(moving, theta, x, y, zeros)
    if program.assumed:
        return False  # it branches on values, perhaps of other samples
    rows = (rows_of_samples(part, few) for part in (x, y, zeros))
    result, inputs = Dependence(few).run(program, theta, *rows)
    if not all(is_row_by_row(leaf, few) for leaf in inputs.values()):
        return False
    if net.row_by_row:
        return all(is_row_by_row(leaf, few) for leaf in tree_leaves(result))
    return isinstance(result, Shadow) and result.additive and result.over is None


def _selection(call: _Call) -> Tensor | None:
    """For a small convolution whose input moves with the parameters."""
    image = call.image
    if image is None or image.matrix_entries > MATRIX_ENTRIES or not image.x.requires_grad:
        return None
    return image.selection().to(call.weight.dtype)
