"""The last line of a sweep that is only shown."""

import pytest

from cifar_sweeps.sweeps.dry_run import plan_line
from cifar_sweeps.system.cores import Parallelism


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "0 jobs to be trained. Nothing was started."),
        (1, "1 job with 2 threads, about 3.0 MB of disk. Nothing was started."),
        (2, "2 jobs, 2 at once with 2 threads each, about 3.0 MB of disk. Nothing was started."),
        (9, "9 jobs, 4 at once with 2 threads each, about 3.0 MB of disk. Nothing was started."),
    ],
)
def test_it_counts_what_would_be_trained(count, said):
    assert plan_line("job", count, Parallelism(4, 2), 3e6) == said
