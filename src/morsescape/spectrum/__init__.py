"""Signs of Hessian eigenvalues with proof, the null space and its causes, and the spectrum."""
