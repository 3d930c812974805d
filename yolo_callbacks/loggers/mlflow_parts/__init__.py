"""Parts of `MLflowLogger`: names that MLflow accepts, the run, the thread that sends to it, and what is uploaded."""
