"""Parts of `SaveBest`."""
