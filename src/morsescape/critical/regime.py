"""Up to which size what pays."""

from morsescape.hessian.value import DENSE as DENSE

FACTORED = 12_000  # variables: the dense Hessian is worth a factorisation; about 3 GB
