"""What the commands share: options, consoles, progress, where results go."""
