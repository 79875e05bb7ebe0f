"""What a caller may have switched on around a call."""

from contextlib import contextmanager

import torch
from torch._subclasses import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode


class Doubling(TorchFunctionMode):
    """Changes what every product gives."""

    def __torch_function__(self, function, kinds, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        return result * 2 if function in (torch.matmul, torch.Tensor.matmul) else result


@contextmanager
def default_device(name):
    torch.set_default_device(name)
    try:
        yield
    finally:
        torch.set_default_device(None)


@contextmanager
def grad_off():
    torch.set_grad_enabled(False)
    try:
        yield
    finally:
        torch.set_grad_enabled(True)


@contextmanager
def default_dtype(dtype):
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


AROUND = {
    "no_grad": torch.no_grad,
    "set_grad_enabled": grad_off,
    "inference_mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "device": lambda: torch.device("meta"),
    "default device": lambda: default_device("meta"),
    "function mode": Doubling,
    "dispatch mode": lambda: FlopCounterMode(display=False),
    "fake tensors": FakeTensorMode,
    "default dtype": lambda: default_dtype(torch.float64),
}
