"""The parts of `ray_trainable`."""
