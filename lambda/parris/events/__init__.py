"""Any event, read into one typed value. Pure."""
