"""Loss landscapes of neural networks via Morse theory, with a certified Hessian inertia."""

from morsescape.errors import ArgumentError, DataError, MorsescapeError
from morsescape.objective import Objective
from morsescape.spectrum.inertia import Inertia, InertiaStatus, inertia

__version__ = "0.1.0"

__all__ = [
    "ArgumentError",
    "DataError",
    "Inertia",
    "InertiaStatus",
    "MorsescapeError",
    "Objective",
    "inertia",
]
