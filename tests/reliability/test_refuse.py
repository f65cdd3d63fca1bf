"""Whatever is thrown at the front door is done as asked, or refused in one line: the quick part of ``make reliability``."""

from __future__ import annotations

import os
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings

from tests.reliability import inputs, refusals
from tests.reliability.inputs import outcome, put

#: A fixed choice of examples, so that a failure is everybody's; ``make reliability`` draws others.
QUICK = settings(
    max_examples=int(os.environ.get("RELIABILITY_EXAMPLES", "8")),
    derandomize="RELIABILITY_EXAMPLES" not in os.environ,
    deadline=timedelta(seconds=60),
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    found = tmp_path_factory.mktemp("refuse")
    put(found)
    return found


@QUICK
@given(override=inputs.misspelt_keys())
def test_a_misspelt_key_is_never_ignored(folder, override):
    refusals.misspelt_key(folder, override)


@QUICK
@given(override=inputs.odd_values())
def test_a_value_is_taken_as_it_is_or_refused(folder, override):
    refusals.odd_value(folder, override)


@QUICK
@given(text=inputs.misspelt_scenarios())
def test_a_misspelt_key_in_a_scenario_is_never_ignored(folder, text):
    refusals.misspelt_scenario(folder, text)


@QUICK
@given(text=inputs.odd_scenarios())
def test_an_odd_scenario_runs_or_is_refused(folder, text):
    refusals.odd_scenario(folder, text)


@pytest.mark.parametrize(
    "arguments",
    [
        ["~train"],
        ["~optimizer.lr"],
        ["results_dir="],
        ["scenario.name=../x"],
        ["scenario.name=archive"],
        ["scenario.name=/tmp/x"],
        ["hydra.verbose=1"],
        ["+hydra.callbacks.x._target_=os.getcwd"],
        ["+optimizer._target_=os.system"],
        ["replicates=99999999999"],
        ["train.steps=99999999999999"],
        ["hydra/launcher=nope"],
        ["--cfg", "nonsense"],
        ["--config-name", "x"],
        ["model.hidden=" + "[" * 2000 + "]" * 2000],
    ],
)
def test_requests_that_once_slipped_through(folder, arguments):
    put(folder)
    code, said, _ = outcome([*inputs.ASKED, *arguments], folder)
    assert code == 2, said


def test_a_record_with_anything_else_in_it_is_refused_or_shown(tmp_path):
    refusals.records(tmp_path, examples=12)


def test_a_block_file_is_what_was_stored_or_missing(tmp_path):
    refusals.blocks(tmp_path, examples=300)


def test_a_flipped_bit_in_a_dataset_names_the_file(tmp_path):
    refusals.datasets(tmp_path, examples=60)
