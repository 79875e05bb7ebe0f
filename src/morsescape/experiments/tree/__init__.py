"""Many solutions: the passes between them, and the tree of sublevel sets."""
