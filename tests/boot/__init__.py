"""The machine's real user data and agent, booted in a virtual machine: ``make test-boot``."""
