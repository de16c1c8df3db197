"""Dropout keeps and scales what torch's would, decides it by torch's seed alone, and leaves layout and dtype alone."""

import pytest
import torch

from cifar_sweeps.models.dropout import Dropout

FLOATS = [torch.float32, torch.bfloat16, torch.float16, torch.float64]


def dropped(maps: torch.Tensor, rate: float = 0.25, seed: int = 0) -> torch.Tensor:
    torch.manual_seed(seed)
    return Dropout(rate)(maps)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("rate", [0.1, 0.25, 0.5, 0.9])
def test_the_rate_is_dropped_and_the_rest_scaled(rate, dtype):
    count = 200_000
    answer = dropped(torch.ones(count, dtype=dtype), rate)
    assert set(answer.tolist()) == {0.0, torch.tensor(1 / (1 - rate), dtype=dtype).item()}
    kept = answer.count_nonzero().item() / count
    assert kept == pytest.approx(1 - rate, abs=5 * (rate * (1 - rate) / count) ** 0.5)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_elements_are_dropped_independently(dtype):
    """The rate is right in each of the positions that share 64 random bits, and neighbours are uncorrelated."""
    kept = dropped(torch.ones(160_000, dtype=dtype), 0.5).ne(0).view(-1, 4).double()
    torch.testing.assert_close(kept.mean(0), torch.full((4,), 0.5, dtype=torch.float64), atol=0.015, rtol=0)
    together = torch.corrcoef(kept.T) - torch.eye(4, dtype=torch.float64)
    assert together.abs().max() < 0.03


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_the_seed_decides_the_mask(dtype):
    maps = torch.ones(1000, dtype=dtype)
    assert torch.equal(dropped(maps), dropped(maps))
    assert not torch.equal(dropped(maps), dropped(maps, seed=1))
    layer = Dropout(0.25)
    assert not torch.equal(layer(maps), layer(maps))


def test_threads_do_not_change_the_mask():
    maps, before = torch.ones(500_000), torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = dropped(maps)
        torch.set_num_threads(2)
        assert torch.equal(dropped(maps), alone)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("shape", [(0,), (1,), (7,), (3, 5), (3, 5, 1, 1), (3, 5, 7, 9)], ids=str)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_any_number_of_elements(shape, dtype):
    answer = dropped(torch.ones(shape, dtype=dtype), 0.5)
    assert answer.shape == shape
    assert answer.dtype == dtype
    assert set(answer.flatten().tolist()) <= {0.0, 2.0}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_the_gradient_is_the_mask(dtype):
    maps = torch.randn(500, dtype=dtype).abs().add_(1).requires_grad_()
    answer = dropped(maps, 0.5)
    answer.sum().backward()
    assert torch.equal(maps.grad, (answer != 0).to(dtype) * 2)


@pytest.mark.parametrize(
    "maps",
    [
        torch.ones(2, 3, 5, 7),
        torch.ones(2, 3, 5, 7).to(memory_format=torch.channels_last),
        torch.ones(6, 4).T,
    ],
    ids=["contiguous", "channels_last", "transposed"],
)
def test_the_layout_stays(maps):
    assert dropped(maps).stride() == maps.stride()


def test_maps_with_gaps_between_their_elements_are_taken():
    answer = dropped(torch.ones(4, 10)[:, ::3], 0.5)
    assert answer.shape == (4, 4)
    assert set(answer.flatten().tolist()) == {0.0, 2.0}


@pytest.mark.parametrize("layer", [Dropout(0.5).eval(), Dropout(0.0)], ids=["evaluation", "rate of 0"])
def test_where_nothing_drops_the_maps_are_returned_as_they_are(layer):
    maps = torch.ones(10)
    state = torch.get_rng_state()
    assert layer(maps) is maps
    assert torch.equal(torch.get_rng_state(), state)


def test_the_input_is_left_alone():
    maps = torch.ones(100)
    dropped(maps)
    assert maps.eq(1).all()


def test_a_rate_of_1_drops_everything_as_torchs_does():
    assert dropped(torch.ones(10), 1.0).eq(0).all()
