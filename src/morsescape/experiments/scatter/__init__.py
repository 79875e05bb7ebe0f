"""Where many trainings end, in the plane and modulo symmetries: section 5.3."""
