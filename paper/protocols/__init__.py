"""In which way the published numbers may have been counted: `python -m paper.protocols`."""
