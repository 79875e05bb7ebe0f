"""Derivatives of a function of a vector by reverse passes of autograd alone.

They ask least of what is differentiated: no function transform runs over it, so hooks, checkpoints,
custom functions of the older form and inner calls of autograd do as they always do.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from morsescape.errors import ArgumentError, is_out_of_memory

Function = Callable[[Tensor], Tensor]


def value_and_gradient(function: Function, theta: Tensor) -> tuple[Tensor, Tensor]:
    """The value and the gradient, shape (D,), zero where nothing depends on θ."""
    point = theta.detach().clone().requires_grad_()
    with torch.enable_grad(), _held(function, point):
        value = function(point)
        if not value.requires_grad:
            return value.detach(), torch.zeros_like(theta)
        (gradient,) = torch.autograd.grad(value, point, allow_unused=True)
    if gradient is None:
        return value.detach(), torch.zeros_like(theta)
    return value.detach(), _dense(gradient)


def product_backward(function: Function, theta: Tensor, v: Tensor) -> Tensor:
    """H v, shape (D,), by two reverse passes.

    Raises:
        ArgumentError: torch has no second derivative of an operation.
    """
    point = theta.detach().clone().requires_grad_()
    with torch.enable_grad(), _twice(), _held(function, point):
        gradient = _differentiable_gradient(function, point)
        if gradient is None:
            return torch.zeros_like(theta)
        (product,) = torch.autograd.grad(gradient @ v, point, allow_unused=True)
    return torch.zeros_like(theta) if product is None else _dense(product)


def add_hessian_backward(function: Function, theta: Tensor, matrix: Tensor) -> None:
    """Add the Hessian to a (D, D) matrix, each row by a reverse pass through the gradient.

    Raises:
        ArgumentError: torch has no second derivative of an operation.
    """
    point = theta.detach().clone().requires_grad_()
    with torch.enable_grad(), _twice(), _held(function, point):
        gradient = _differentiable_gradient(function, point)
        if gradient is None:  # linear in θ
            return
        # Not `for g in gradient`: going back through each entry's own view takes D times as long.
        chosen = torch.zeros_like(theta)
        for k, place in enumerate(matrix):
            chosen.zero_()[k] = 1.0
            (row,) = torch.autograd.grad(
                gradient, point, chosen, retain_graph=True, allow_unused=True
            )
            if row is not None:
                place += _dense(row)


def _held(function: Function, point: Tensor) -> AbstractContextManager[None]:
    """What must stay as it is until autograd has gone back."""
    held = getattr(function, "held", None)
    return nullcontext() if held is None else held(point)


def _differentiable_gradient(function: Function, point: Tensor) -> Tensor | None:
    """The gradient with its graph; None where the function is linear."""
    value = function(point)
    if not value.requires_grad:
        return None
    (gradient,) = torch.autograd.grad(value, point, create_graph=True, allow_unused=True)
    return None if gradient is None or not gradient.requires_grad else gradient


def _dense(gradient: Tensor) -> Tensor:
    return (gradient.to_dense() if gradient.is_sparse else gradient).detach()


class _twice:
    """Say which operation has no second derivative, where autograd finds none."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, RuntimeError) or is_out_of_memory(error):
            return
        raise ArgumentError(
            "model",
            expected="operations that torch can differentiate twice",
            got=(str(error).splitlines() or [type(error).__name__])[0],
            cure="write that operation out in others",
        ) from error
