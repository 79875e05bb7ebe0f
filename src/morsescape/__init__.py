"""Loss landscapes of neural networks via Morse theory, with a certified Hessian inertia."""

from morsescape import zoo
from morsescape.critical import (
    Certificate,
    CertificateStatus,
    CriticalPoint,
    Escape,
    EscapeStatus,
    IntervalProof,
    Plan,
    ProofStatus,
    SearchStatus,
    ThirdOrderPoint,
    ThirdOrderStatus,
    certify,
    escape,
    find_critical_point,
    krawczyk,
    plan,
    third_order_minimum,
)
from morsescape.errors import ArgumentError, DataError, MorsescapeError
from morsescape.hessian.value import Hessian
from morsescape.morse import MergeTree, MorseGraph, Pass, find_saddle, morse_graph
from morsescape.objective import Objective
from morsescape.paths import (
    Connected,
    Curve,
    Height,
    Path,
    align,
    connect,
    connected,
    same_solution,
)
from morsescape.spectrum.counts import Counts, CountStatus, count_by_eigh, count_by_ldl
from morsescape.spectrum.inertia import Inertia, InertiaStatus, inertia
from morsescape.version import __version__

__all__ = [
    "ArgumentError",
    "Certificate",
    "CertificateStatus",
    "Connected",
    "CountStatus",
    "Counts",
    "CriticalPoint",
    "Curve",
    "DataError",
    "Escape",
    "EscapeStatus",
    "Height",
    "Hessian",
    "Inertia",
    "InertiaStatus",
    "IntervalProof",
    "MergeTree",
    "MorseGraph",
    "MorsescapeError",
    "Objective",
    "Pass",
    "Path",
    "Plan",
    "ProofStatus",
    "SearchStatus",
    "ThirdOrderPoint",
    "ThirdOrderStatus",
    "__version__",
    "align",
    "certify",
    "connect",
    "connected",
    "count_by_eigh",
    "count_by_ldl",
    "escape",
    "find_critical_point",
    "find_saddle",
    "inertia",
    "krawczyk",
    "morse_graph",
    "plan",
    "same_solution",
    "third_order_minimum",
    "zoo",
]
