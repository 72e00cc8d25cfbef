"""The curves of a run's results: metrics.jsonl, TensorBoard event files, MLflow's SQLite file."""
