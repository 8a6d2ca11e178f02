"""Every row of the feature table names a test that is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROWS = re.findall(
    r"^\| (\d+) \| .+ \| `(.+?)::(.+?)` \|$", (ROOT / "docs" / "feature-table.md").read_text(), re.MULTILINE
)


def test_every_row_has_its_test() -> None:
    missing = [name for _, path, name in ROWS if f"\ndef {name}(" not in (ROOT / path).read_text()]
    assert missing == []


def test_the_rows_are_those_of_the_comparison(shared: Path) -> None:
    page = (shared / "spec" / "peers.md").read_text().partition("FEATURE TABLE")[2]
    assert [row[0] for row in ROWS] == re.findall(r"^\| (\d+) \|", page, re.MULTILINE)
