"""Parts of `MemoryMonitor`."""
