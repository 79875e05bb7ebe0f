"""Functions of torch's that it cannot differentiate twice, or not as what they are, written out.

torch has no second derivative of some losses and activations, or none in forward mode. Of others
it differentiates something else than it computes: a variance is clamped where no gradient looks,
a maximum shares its gradient among equal entries. Under this mode a call of theirs, from Python,
becomes one of the same value by operations that can be differentiated and followed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from morsescape.rounding import loss_formulas, repeated_writes  # noqa: F401  register theirs
from morsescape.rounding.constants import InsideCall
from morsescape.rounding.formulas import WRITTEN_OUT

# They hand no number on, but run derivatives of what was called with some.
_BACKWARD = frozenset((torch.autograd.grad, torch.autograd.backward, torch.Tensor.backward))


class WrittenOut(TorchFunctionMode):
    """Replaces the calls in `WRITTEN_OUT`; one that is not like torch's goes on as it is."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _BACKWARD:
            return func(*args, **kwargs)
        with InsideCall((args, kwargs)):
            written = WRITTEN_OUT.get(func)
            if written is not None:
                with self:  # what it is made of may have to be written out as well
                    result = written(*args, **kwargs)
                if result is not NotImplemented:
                    return result
            return self.call(func, args, kwargs)

    def call(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Carry out what is not written out."""
        return func(*args, **kwargs)


@contextmanager
def written_out(mode: WrittenOut | None = None) -> Iterator[None]:
    """Within it, calls of such functions are written out, and attention by its formula.

    Example:
        >>> import torch
        >>> target = torch.zeros(2, dtype=torch.float64)
        >>> f = lambda t: torch.nn.functional.huber_loss(t, target)
        >>> with written_out():
        ...     torch.func.hessian(f)(torch.tensor([0.5, 2.0]).double()).tolist()
        [[0.5, 0.0], [0.0, 0.0]]
    """
    # The fused kernels of attention have no second derivative.
    with sdpa_kernel(SDPBackend.MATH), mode or WrittenOut():
        yield
