"""Log to W&B: rows, batch losses, alerts and images; the session that sends them; and the workspace."""
