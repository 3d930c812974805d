"""Everything that knows the internals and the versions of Ultralytics."""
