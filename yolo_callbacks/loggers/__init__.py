"""Record a training: one logger a file."""
