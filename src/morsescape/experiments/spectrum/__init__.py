"""All eigenvalues of one Hessian: figures 5.2."""
