"""The parts of `Preemption`."""
