"""The parts of `Mirror`."""
