"""Run the subcommands of `yolo-callbacks`, one module each. Imports stay inside functions, so that --help is fast."""
