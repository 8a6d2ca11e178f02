"""Which run a data directory is at, and who may use it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from demo.errors import DemoError
from demo.identity import exclusive, finish, next_run

if TYPE_CHECKING:
    from pathlib import Path


def test_an_unfinished_run_is_continued_under_its_id_and_params(tmp_path: Path) -> None:
    first = next_run(tmp_path, {"epochs": 3})
    again = next_run(tmp_path)
    assert not first.continued
    assert again.continued
    assert (again.run_id, again.date, again.conf) == (first.run_id, first.date, {"epochs": 3})


def test_params_given_again_replace_those_of_the_unfinished_run(tmp_path: Path) -> None:
    next_run(tmp_path, {"epochs": 3})
    next_run(tmp_path, {"epochs": 4})
    assert next_run(tmp_path).conf == {"epochs": 4}


def test_after_a_finished_run_comes_a_new_one_with_default_params(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = next_run(tmp_path, {"epochs": 3})
    finish(tmp_path, first)
    later = next_run(tmp_path)
    assert not later.continued
    assert later.conf == {}


def test_the_run_id_is_that_of_airflow(tmp_path: Path) -> None:
    run = next_run(tmp_path)
    assert run.run_id == f"manual__{run.date.isoformat()}"


def test_a_data_directory_has_one_user(tmp_path: Path) -> None:
    with (
        exclusive(tmp_path / "new"),
        pytest.raises(DemoError, match="Another demo is using"),
        exclusive(tmp_path / "new"),
    ):
        pass
    with exclusive(tmp_path / "new"):
        pass


def test_a_folder_that_cannot_be_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(DemoError, match=r"cannot keep its data in .*file/data \(Not a directory\): choose"),
        exclusive(tmp_path / "file" / "data"),
    ):
        raise AssertionError
