"""What a person may ask for: a module a verb, each with `main(argv)` (scripts/cli/verbs.py)."""
