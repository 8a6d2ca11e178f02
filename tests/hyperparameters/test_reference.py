"""The declared table against the reference page and the service's own defaults."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_ll.hyperparameters import HYPERPARAMETERS
from airflow_ll.hyperparameters.reference import BEGIN, reference_table, renewed
from airflow_ll.hyperparameters.values import parsed

PAGE = Path(__file__).parents[2] / "docs" / "hyperparameters.md"

LACKING_IN_THE_ESTIMATORS_LIST = {
    "predictor_type",
    "feature_dim",
    "mini_batch_size",
    "binary_classifier_model_selection_criteria",
    "target_recall",
    "target_precision",
    "positive_example_weight_mult",
}


def test_the_page_holds_the_table() -> None:
    page = PAGE.read_text()
    assert renewed(page) == page, f"run: python -m airflow_ll.hyperparameters.reference {PAGE}"


def test_the_command_renews_the_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE.read_text().replace("`epochs`", "`rounds`"))
    command = [sys.executable, "-m", "airflow_ll.hyperparameters.reference", str(page)]
    subprocess.run(command, check=True)
    assert page.read_text() == PAGE.read_text()


def test_a_page_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="add them"):
        renewed("# Hyperparameters\n")
    with pytest.raises(ValueError, match="add them"):
        renewed(f"# Hyperparameters\n{BEGIN}")


def test_a_row_says_all_of_its_declaration() -> None:
    rows = reference_table().splitlines()
    assert len(rows) == 2 + 44
    (row,) = [row for row in rows if row.startswith("| `target_recall`")]
    assert row == (
        "| `target_recall` | a number > 0 and < 1 | `0.8` | `binary_classifier` | "
        "`binary_classifier_model_selection_criteria` `precision_at_target_recall` |  | "
        "The recall to hold while precision is maximised. |"
    )


def test_the_keys_are_those_of_the_estimator_and_the_seven_that_it_lacks(shared: Path) -> None:
    specified = json.loads((shared / "golden" / "hyperparameter_spec.json").read_text())
    assert set(HYPERPARAMETERS) == set(specified)
    assert set(HYPERPARAMETERS) >= LACKING_IN_THE_ESTIMATORS_LIST


def test_the_defaults_are_those_of_the_container(shared: Path) -> None:
    container = json.loads((shared / "aws-jobs" / "default-input_2024.json").read_text())
    public = {name: text for name, text in container.items() if not name.startswith("_")}
    assert set(HYPERPARAMETERS) == {"predictor_type", *public}
    defaults = {name: one.default for name, one in HYPERPARAMETERS.items() if name != "predictor_type"}
    assert {name: parsed(HYPERPARAMETERS[name], text) for name, text in public.items()} == defaults
    for name, default in defaults.items():
        assert type(parsed(HYPERPARAMETERS[name], public[name])) is type(default)


def test_what_the_container_has_as_auto_may_be_auto(shared: Path) -> None:
    container = json.loads((shared / "aws-jobs" / "default-input_2024.json").read_text())
    for name in HYPERPARAMETERS:
        assert HYPERPARAMETERS[name].auto or container.get(name) != "auto", name


def test_the_tuning_ranges_are_those_of_the_service() -> None:
    assert {name: one.tunable for name, one in HYPERPARAMETERS.items() if one.tunable} == {
        "wd": (1e-7, 1),
        "l1": (1e-7, 1),
        "learning_rate": (1e-5, 1),
        "mini_batch_size": (100, 5000),
        "use_bias": (True, False),
        "positive_example_weight_mult": (1e-5, 1e5),
    }


@pytest.mark.parametrize("name", HYPERPARAMETERS)
def test_a_declaration_is_whole(name: str) -> None:
    parameter = HYPERPARAMETERS[name]
    assert parameter.name == name
    assert parameter.description.endswith(".")
    assert parameter.applies_to
    if parameter.only_with is not None:
        assert set(parameter.only_with.values) <= {*HYPERPARAMETERS[parameter.only_with.name].words, True, False}
        assert parameter.only_with.unset or HYPERPARAMETERS[parameter.only_with.name].default not in (
            parameter.only_with.values
        )


def test_the_package_loads_no_third_party_module() -> None:
    code = (
        "import sys; import airflow_ll.hyperparameters; "
        "loaded = {name.partition('.')[0] for name in sys.modules}; "
        "print(sorted(loaded & {'numpy', 'pydantic', 'airflow', 'boto3', 'botocore', 'scipy', 'pyarrow', 'pendulum'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"
