"""The first weights are MXNet's numbers; `make compat` compares all of them with the real MXNet."""

from __future__ import annotations

import numpy as np
import pytest

from airflow_ll.learner.initialization import SERVICE_SEED, initial_weights


def test_the_generator_is_the_one_of_the_c_standard() -> None:
    """ISO C++ says what the 10,000th number of a default-constructed mt19937 is."""
    assert int(np.random.RandomState(5489).randint(0, 2**32, size=10_000, dtype=np.uint32)[-1]) == 4_123_659_995


def test_unseeded_mxnet_begins_so() -> None:
    weights = initial_weights("uniform", 0.07, (20, 1), 1, SERVICE_SEED)
    expected = np.array([0.0068339, 0.01299825, 0.0301265, 0.04819721], np.float32)
    np.testing.assert_allclose(weights[:4, 0], expected, rtol=1e-6)


def test_models_are_drawn_in_the_order_of_their_names() -> None:
    weights = initial_weights("uniform", 0.07, (20, 1), 12, 0)
    one_after_the_other = [weights[:, model] for model in (0, 10, 11, 1, 2, 3, 4, 5, 6, 7, 8, 9)]
    # One generator draws all of them, so that they continue each other.
    twister = np.random.RandomState(0)
    units = twister.randint(0, 2**32, size=240, dtype=np.uint32).astype(np.float64) / 2**32
    np.testing.assert_allclose(np.concatenate(one_after_the_other), 0.14 * units - 0.07, atol=1e-8)


def test_the_columns_of_a_class_are_together() -> None:
    both = initial_weights("uniform", 0.07, (5, 3), 2, 0)
    alone = initial_weights("uniform", 0.07, (5, 3), 1, 0)
    np.testing.assert_array_equal(both[:, 0::2], alone)


@pytest.mark.parametrize(("method", "stdev"), [("uniform", 0.02 / 3**0.5), ("normal", 0.02)])
def test_the_distribution_is_the_named_one(method: str, stdev: float) -> None:
    weights = initial_weights(method, 0.02, (5000, 1), 20, 3)
    assert weights.mean() == pytest.approx(0, abs=4 * stdev / weights.size**0.5)
    assert weights.std() == pytest.approx(stdev, rel=0.01)
    beyond = float(np.mean(np.abs(weights) > 0.02))
    assert beyond == pytest.approx(0 if method == "uniform" else 0.3173, abs=0.01)


@pytest.mark.parametrize("method", ["uniform", "normal"])
def test_every_number_is_drawn_once(method: str) -> None:
    weights = initial_weights(method, 0.07, (70_000, 1), 2, 1)
    assert len(np.unique(weights)) > 0.99 * weights.size
    assert np.isfinite(weights).all()


def test_seeds_differ_and_repeat() -> None:
    one, again, other = (initial_weights("normal", 0.01, (9, 2), 3, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert not np.isin(one, other).any()
