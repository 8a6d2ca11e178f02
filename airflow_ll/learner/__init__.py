"""The LinearLearner algorithm on one machine, under SageMaker's container contract."""
