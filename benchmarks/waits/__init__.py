"""A thousand deferred tasks in one triggerer: what they ask of AWS, what they cost here, how soon they go on.

``python -m benchmarks.waits`` writes ``benchmarks/results/waits.md``.
"""
