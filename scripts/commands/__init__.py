"""What a person may ask for: a module a verb, with `main(argv)`. scripts/verbs.py lists them."""
