"""Parts of `WandbLogger`: the session with W&B, what it logs, and its workspace."""
