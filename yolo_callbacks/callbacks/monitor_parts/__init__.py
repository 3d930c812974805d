"""Parts of callbacks that decide by a monitor."""
