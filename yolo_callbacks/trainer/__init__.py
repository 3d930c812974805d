"""Read and steer Ultralytics' trainer. Only this folder knows its internals and its versions."""
