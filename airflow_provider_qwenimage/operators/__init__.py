"""Images as tasks."""
