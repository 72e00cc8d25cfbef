"""What every verb of ./parris shares: its command line, its words, its tables."""
