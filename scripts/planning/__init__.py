"""What would become of a launch now: asked of everything that decides it, and nothing written."""
