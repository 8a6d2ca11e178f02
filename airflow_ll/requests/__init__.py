"""Pure builders: specs in SageMaker's terms become the requests that boto3 takes; nothing here talks to AWS."""
