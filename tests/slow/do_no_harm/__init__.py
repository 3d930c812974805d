"""Check that a suite of callbacks leaves a training as it is without one."""
