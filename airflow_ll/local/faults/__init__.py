"""Faults on purpose: what the runtime does wrong when it is told to, so that callers can be tested.

``rules.py`` is the grammar, ``injector.py`` decides which rule applies to what happens, ``calls.py`` does it to a
call. Jobs and endpoints ask the injector themselves.
"""

from __future__ import annotations

from airflow_ll.local.faults.injector import Faults, write_rules
from airflow_ll.local.faults.rules import EFFECTS, Rule, parse_rules

__all__ = ["EFFECTS", "Faults", "Rule", "parse_rules", "write_rules"]
