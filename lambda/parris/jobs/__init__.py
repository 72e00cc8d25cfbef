"""What a person wrote: a job's configuration and its parameters. Pure."""
