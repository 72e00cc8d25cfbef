"""What the Makefile calls, on the operator's machine."""
