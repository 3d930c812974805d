"""Read callbacks from a YAML file, and give them to every training of a process."""
