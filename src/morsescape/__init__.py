"""Loss landscapes of neural networks via Morse theory, with a certified Hessian inertia."""

from morsescape.critical import (
    CriticalPoint,
    Escape,
    EscapeStatus,
    Plan,
    SearchStatus,
    certify,
    escape,
    find_critical_point,
    plan,
    third_order_minimum,
)
from morsescape.errors import ArgumentError, DataError, MorsescapeError
from morsescape.hessian.value import Hessian
from morsescape.objective import Objective
from morsescape.spectrum.inertia import Inertia, InertiaStatus, inertia
from morsescape.version import __version__

__all__ = [
    "ArgumentError",
    "CriticalPoint",
    "DataError",
    "Escape",
    "EscapeStatus",
    "Hessian",
    "Inertia",
    "InertiaStatus",
    "MorsescapeError",
    "Objective",
    "Plan",
    "SearchStatus",
    "__version__",
    "certify",
    "escape",
    "find_critical_point",
    "inertia",
    "plan",
    "third_order_minimum",
]
