"""The subcommands of `yolo-callbacks`: each module has `add_arguments(parser)` and `run(arguments)`."""
