"""The supervisor on the training machine: run the trainer, keep what it makes, power off."""
