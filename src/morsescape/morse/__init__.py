"""Morse graphs: certified passes, the tree of sublevel sets, everything in low dimension."""
