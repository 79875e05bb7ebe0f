"""Critical points: reach them, prove them, leave them."""

from morsescape.critical.certificate import Certificate, CertificateStatus
from morsescape.critical.certify import certify
from morsescape.critical.escape import Escape, EscapeStatus, EscapeStep, escape
from morsescape.critical.find import find_critical_point
from morsescape.critical.krawczyk import IntervalProof, ProofStatus, krawczyk
from morsescape.critical.planning import Plan, plan
from morsescape.critical.result import CriticalPoint, SearchStatus
from morsescape.critical.third_order import (
    ThirdOrderPoint,
    ThirdOrderStatus,
    third_order_minimum,
)

__all__ = [
    "Certificate",
    "CertificateStatus",
    "CriticalPoint",
    "Escape",
    "EscapeStatus",
    "EscapeStep",
    "IntervalProof",
    "Plan",
    "ProofStatus",
    "SearchStatus",
    "ThirdOrderPoint",
    "ThirdOrderStatus",
    "certify",
    "escape",
    "find_critical_point",
    "krawczyk",
    "plan",
    "third_order_minimum",
]
