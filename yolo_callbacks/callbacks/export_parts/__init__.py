"""Parts of `ExportBest`."""
