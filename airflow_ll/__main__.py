"""``python -m airflow_ll`` is the command ``airflow-ll``."""

from __future__ import annotations

import sys

from airflow_ll.cli import main

if __name__ == "__main__":
    sys.exit(main())
