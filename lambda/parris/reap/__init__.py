"""What the reap function does at a sweep and at an event."""
