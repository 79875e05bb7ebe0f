"""From where an optimizer stopped to a critical point."""
