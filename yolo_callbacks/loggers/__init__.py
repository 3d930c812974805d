"""Record a training: one logger in each file."""
