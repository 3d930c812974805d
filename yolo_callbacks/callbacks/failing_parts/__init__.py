"""The parts of `FailingImages`."""
