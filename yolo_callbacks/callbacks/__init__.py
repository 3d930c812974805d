"""React to a training: one callback a file."""
