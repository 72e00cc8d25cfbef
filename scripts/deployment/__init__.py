"""One deployment, seen from outside: its outputs, its runs, Terraform."""
