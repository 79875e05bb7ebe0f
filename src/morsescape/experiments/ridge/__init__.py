"""The index of L + λ‖θ‖² over λ."""
