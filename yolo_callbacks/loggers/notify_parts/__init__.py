"""Parts of `Notify`."""
