"""Paths between solutions: curves, how they are found, and a proved interval for their height."""
