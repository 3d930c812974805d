"""Parts of `WandbLogger`: what it logs, the session that sends it, and the W&B workspace."""
