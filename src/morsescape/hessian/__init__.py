"""The Hessian with a bound of its rounding errors: how it is computed, planned and checked."""
