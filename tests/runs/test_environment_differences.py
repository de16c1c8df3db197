"""What a repeated run names as differing, of all that makes a training another one."""

import pytest

from cifar_sweeps.runs.reproduction_check import environment_differences
from cifar_sweeps.studies.pooling import CODE, FILES, OWN_CODE, arm_values

TAGS = {OWN_CODE: "own_code", FILES: "weight_files", CODE: "numbers"}


@pytest.mark.parametrize("what", TAGS)
def test_what_separates_arms_is_named_when_a_run_is_not_repeated(what):
    was, now = ({TAGS[what]: value} for value in ("a1", "b2"))
    assert arm_values({"optimizer.lr": "1"}, was) != arm_values({"optimizer.lr": "1"}, now)
    (line,) = environment_differences(was, now)
    assert line.endswith("a1 then, b2 now")
