"""All studies of the paper in one sweep, on one page."""
