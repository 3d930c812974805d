"""Help all other folders: files, arguments, signals, secrets. Nothing here knows a training."""
