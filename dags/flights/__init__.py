"""What the flights DAGs need beside operators: the data, the features, the quality check and S3."""
