"""Up to which size what pays."""

DENSE = 1500  # variables: all eigenpairs cost less than what they save
FACTORED = 12_000  # variables: the dense Hessian is worth a factorisation; about 3 GB
