"""The flights demo: the retraining DAG, end to end, on the embedded runtime."""
