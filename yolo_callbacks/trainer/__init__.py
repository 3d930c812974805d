"""Everything that knows the internals and the versions of Ultralytics; older modules of that kind move here."""
