"""Airflow provider for Amazon SageMaker LinearLearner.

Importing the package imports nothing else: Airflow reads it while it is still configuring itself.
"""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
