"""Store the state of the callbacks of a run on disk, and read it back."""
