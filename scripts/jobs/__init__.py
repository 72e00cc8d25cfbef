"""The jobs in a clone: what is checked and how they get into the config bucket."""
