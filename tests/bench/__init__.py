"""Measure what Parris costs beside the training: `make bench`."""
