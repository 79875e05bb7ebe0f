"""A Hessian of f at θ that is not what f says."""

from morsescape.hessian.value import Hessian


def planted(f, theta, enclosed) -> Hessian:
    """The value of f at θ with this matrix in it."""
    hessian = f.hessian_at(theta)
    hessian.made["Hessian.enclose"] = enclosed
    return hessian
