"""What a run is: its plan, its money, how it ends, what is told of it. Pure."""
