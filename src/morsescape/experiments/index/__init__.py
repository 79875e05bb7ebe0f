"""How many Hessian eigenvalues are negative: tables 5.2 and 5.5."""
