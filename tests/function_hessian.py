"""The Hessian of a plain function, without the questions that an objective asks first."""

from morsescape.hessian.dense import exact_hessian
from morsescape.model.function import Function


def function_hessian(fn, theta, *, bounded=True):
    return exact_hessian(Function(fn, len(theta)), theta, bounded=bounded)
