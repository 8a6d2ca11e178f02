"""The fault matrix: every operator killed at every call, then retried.

``python -m benchmarks.faults`` (``make faults``) writes ``benchmarks/results/faults.md``. A cell is one run of one
operator in one mode: when the process that does the work makes the k-th call of an operation, the embedded runtime
sends it SIGKILL, before or after it carries the call out. Then the task is tried again, as Airflow does. Afterwards
the runtime's access log must show one acknowledged Create a logical resource, the result must be that of a run without
a fault, and nothing may be left when the run's teardown has been.
"""
