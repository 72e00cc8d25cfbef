"""The AWS services that the functions call."""
