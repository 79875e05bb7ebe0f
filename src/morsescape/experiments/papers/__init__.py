"""Tables of other papers, measured again: one module for each, and a line in the registry."""
