"""The command line: what is wrong is one sentence on stderr and an exit code."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from airflow_ll import __version__
from airflow_ll.cli import main

if TYPE_CHECKING:
    from pathlib import Path


def test_a_missing_extra_is_one_sentence_with_the_pip_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "regex", None)  # as if it were not installed
    assert main(["local", "--data-dir", str(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        "airflow-ll: The embedded runtime needs the package 'regex', which is not installed: "
        "run pip install 'airflow-ll[local]'.\n"
    )


def test_the_runtime_refuses_to_listen_where_others_can_call(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["local", "--data-dir", str(tmp_path), "--host", "0.0.0.0"]) == 2
    assert "loopback" in capsys.readouterr().err


def test_an_impossible_data_directory_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert main(["local", "--data-dir", str(tmp_path / "file" / "data")]) == 2
    assert str(tmp_path / "file") in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"airflow-ll {__version__}\n"
