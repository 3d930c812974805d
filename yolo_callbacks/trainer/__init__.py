"""Read and control Ultralytics' trainer. Only this folder knows its internals and its versions."""
