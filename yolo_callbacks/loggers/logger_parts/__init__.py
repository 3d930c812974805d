"""Parts that several loggers share: messages of a thread, names of a training, smaller files of images."""
