"""``airflow-ll records``: look at records, check them, convert them to other formats."""
