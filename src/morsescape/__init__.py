"""Loss landscapes of neural networks via Morse theory, with a certified Hessian inertia."""

from typing import TYPE_CHECKING

from morsescape.errors import ArgumentError, DataError, MorsescapeError
from morsescape.lazy import lazily
from morsescape.version import __version__

if TYPE_CHECKING:
    from morsescape import zoo
    from morsescape.complete import Barcode, CriticalSet, all_critical_points, sublevel_homology
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
    from morsescape.figures.slice import Slice, plane
    from morsescape.hessian.value import Hessian
    from morsescape.morse import (
        CaptureBall,
        Embedding,
        MergeTree,
        MorseGraph,
        Pass,
        capture_ball,
        embed,
        find_saddle,
        morse_graph,
    )
    from morsescape.objective import Objective
    from morsescape.paths import (
        Alignment,
        Comparison,
        Connected,
        Copies,
        Curve,
        Height,
        Path,
        align,
        connect,
        connected,
        joined_copies,
        same_solution,
    )
    from morsescape.spectrum.counts import Counts, CountStatus, count_by_eigh, count_by_ldl
    from morsescape.spectrum.inertia import Inertia, InertiaStatus, eigenvalues, inertia
else:
    __getattr__, __dir__ = lazily(__name__, {  # the same, when first used
        "complete": "Barcode CriticalSet all_critical_points sublevel_homology",
        "critical": (
            "Certificate CertificateStatus CriticalPoint Escape EscapeStatus IntervalProof Plan "
            "ProofStatus SearchStatus ThirdOrderPoint ThirdOrderStatus certify escape "
            "find_critical_point krawczyk plan third_order_minimum"
        ),
        "figures.slice": "Slice plane",
        "hessian.value": "Hessian",
        "morse": (
            "CaptureBall Embedding MergeTree MorseGraph Pass capture_ball embed find_saddle "
            "morse_graph"
        ),
        "objective": "Objective",
        "paths": (
            "Alignment Comparison Connected Copies Curve Height Path align connect connected "
            "joined_copies same_solution"
        ),
        "spectrum.counts": "Counts CountStatus count_by_eigh count_by_ldl",
        "spectrum.inertia": "Inertia InertiaStatus eigenvalues inertia",
    })  # fmt: skip

__all__ = [
    "Alignment",
    "ArgumentError",
    "Barcode",
    "CaptureBall",
    "Certificate",
    "CertificateStatus",
    "Comparison",
    "Connected",
    "Copies",
    "CountStatus",
    "Counts",
    "CriticalPoint",
    "CriticalSet",
    "Curve",
    "DataError",
    "Embedding",
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
    "Slice",
    "ThirdOrderPoint",
    "ThirdOrderStatus",
    "__version__",
    "align",
    "all_critical_points",
    "capture_ball",
    "certify",
    "connect",
    "connected",
    "count_by_eigh",
    "count_by_ldl",
    "eigenvalues",
    "embed",
    "escape",
    "find_critical_point",
    "find_saddle",
    "inertia",
    "joined_copies",
    "krawczyk",
    "morse_graph",
    "plan",
    "plane",
    "same_solution",
    "sublevel_homology",
    "third_order_minimum",
    "zoo",
]
