"""The embedded cloud: MiniStack as AWS on loopback, plus what it lacks (`LOCAL=1`)."""
