"""What the launch function does with an event."""
