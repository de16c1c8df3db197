"""An epoch holds every image once, in an order that (seed, epoch) alone decides; evaluation is plain and in order."""

import pytest
import torch
from data_toys import labelled

from cifar_sweeps.data import FlipCrop
from cifar_sweeps.data.batches import EvalBatches, TrainBatches

DATA = labelled(100)
EVERY = torch.arange(100)


def numbers(images):
    """Which images a batch holds: see data_toys."""
    spelt = (images[:, :2, 0, 0] * 255).round().long()
    return (spelt[:, 0] * 256 + spelt[:, 1]).tolist()


def order(batches, epoch):
    return [number for images, _ in batches.epoch(epoch) for number in numbers(images)]


def test_an_epoch_holds_every_chosen_image_once():
    chosen = EVERY[::2]
    batches = TrainBatches(DATA, [chosen], 16, seed=0)
    assert sorted(order(batches, 1)) == chosen.tolist()
    assert batches.steps(1) == 4


def test_the_last_batch_holds_what_is_left():
    batches = TrainBatches(DATA, [EVERY], 32, seed=0)
    assert [len(images) for images, _ in batches.epoch(1)] == [32, 32, 32, 4]
    assert batches.steps(1) == 4


def test_labels_go_with_their_images():
    for images, labels in TrainBatches(DATA, [EVERY], 32, seed=0).epoch(1):
        assert images.dtype == torch.float32
        assert labels.dtype == torch.int64
        assert labels.tolist() == DATA.labels[numbers(images)].tolist()


def test_orders_differ_by_epoch_and_seed():
    orders = [order(TrainBatches(DATA, [EVERY], 32, seed=seed), epoch) for seed, epoch in ((0, 1), (0, 2), (1, 1))]
    assert len({tuple(order) for order in orders}) == 3
    assert EVERY.tolist() not in orders


def test_parts_are_used_one_after_another_each_for_its_epochs():
    parts = [EVERY[:40], EVERY[40:70], EVERY[70:]]
    batches = TrainBatches(DATA, parts, 16, seed=0, epochs_a_part=2)
    epochs = range(1, 7)
    assert [sorted(order(batches, epoch)) for epoch in epochs] == [parts[part].tolist() for part in (0, 0, 1, 1, 2, 2)]
    assert [batches.steps(epoch) for epoch in epochs] == [3, 3, 2, 2, 2, 2]


@pytest.mark.parametrize("augmentation", [None, FlipCrop(padding=1)], ids=["plain", "augmented"])
def test_an_epoch_is_the_same_whatever_ran_before(augmentation):
    def batches():
        return TrainBatches(DATA, [EVERY], 32, seed=3, augmentation=augmentation)

    used = batches()
    for epoch in range(1, 7):
        list(used.epoch(epoch))
    torch.manual_seed(1)  # nothing may come from the global generator
    for (images, labels), (fresh_images, fresh_labels) in zip(used.epoch(7), batches().epoch(7), strict=True):
        assert torch.equal(images, fresh_images)
        assert torch.equal(labels, fresh_labels)


def test_augmentation_differs_by_epoch():
    batches = TrainBatches(labelled(1), [torch.tensor([0])], 1, seed=0, augmentation=FlipCrop())
    drawn = {next(batches.epoch(epoch))[0].numpy().tobytes() for epoch in range(1, 9)}
    assert len(drawn) > 4


def test_augmentation_and_order_use_different_random_numbers():
    drawn = []

    def draw(images, generator):
        drawn.extend(torch.randperm(100, generator=generator).tolist())
        return images

    shown = order(TrainBatches(DATA, [EVERY], 100, seed=0, augmentation=draw), 1)
    assert sorted(drawn) == sorted(shown)
    assert drawn != shown


def test_augmentation_leaves_the_data_alone():
    before = DATA.images.clone()
    list(TrainBatches(DATA, [EVERY], 32, seed=0, augmentation=lambda images, _: images.zero_()).epoch(1))
    assert torch.equal(DATA.images, before)


def test_pixels_are_divided_by_255():
    images, _ = next(iter(EvalBatches(DATA, EVERY, 100)))
    assert torch.allclose(images, DATA.images / 255)


@pytest.mark.parametrize(
    ("mean", "std"), [((0.1, 0.2, 0.3), (0.5, 2, 4)), (None, (0.5, 2, 4)), ((0.1, 0.2, 0.3), None)]
)
def test_pixels_are_standardised_by_channel(mean, std):
    images, _ = next(iter(EvalBatches(DATA, EVERY, 100, mean=mean, std=std)))
    shift = torch.tensor(mean or (0, 0, 0)).view(3, 1, 1)
    scale = torch.tensor(std or (1, 1, 1)).view(3, 1, 1)
    assert torch.allclose(images, (DATA.images / 255 - shift) / scale, atol=1e-6)


def test_augmentation_sees_pixels_before_they_are_standardised():
    def check(images, generator):
        assert images.min() >= 0
        assert images.max() <= 1
        return torch.zeros_like(images)

    batches = TrainBatches(DATA, [EVERY], 100, seed=0, augmentation=check, mean=(1, 2, 3), std=(1, 1, 2))
    images, _ = next(batches.epoch(1))
    assert images[0, :, 0, 0].tolist() == [-1, -2, -1.5]


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("augmentation", [None, FlipCrop()], ids=["plain", "augmented"])
def test_memory_format_is_as_asked(channels_last, augmentation):
    expected = torch.channels_last if channels_last else torch.contiguous_format
    train = TrainBatches(DATA, [EVERY], 32, seed=0, augmentation=augmentation, channels_last=channels_last)
    for batches in (train.epoch(1), EvalBatches(DATA, EVERY, 32, channels_last=channels_last)):
        for images, _ in batches:
            assert images.is_contiguous(memory_format=expected)


def test_evaluation_is_in_order_each_time():
    chosen = torch.tensor([5, 3, 99, 0, 42])
    batches = EvalBatches(DATA, chosen, 2)
    for _ in range(2):
        assert [numbers(images) for images, _ in batches] == [[5, 3], [99, 0], [42]]
    assert [labels.tolist() for _, labels in batches] == [[5, 3], [9, 0], [2]]
    assert len(batches) == 3
    assert batches.num_images == 5


def test_augmented_evaluation_is_the_same_each_time_whatever_else_was_drawn():
    batches = EvalBatches(DATA, EVERY, 32, augmentation=FlipCrop())
    first = torch.cat([images for images, _ in batches])
    torch.rand(5)
    assert torch.equal(torch.cat([images for images, _ in batches]), first)
    assert not torch.equal(first, torch.cat([images for images, _ in EvalBatches(DATA, EVERY, 32)]))


def test_no_images_are_no_batches():
    batches = EvalBatches(DATA, torch.arange(0), 32)
    assert len(batches) == len(list(batches)) == 0


@pytest.mark.parametrize(
    ("least", "size"),
    [(least, size) for least in (1, 2, 5) for size in (1, 2, 5, 8, 33, 64, 99, 100, 101, 200) if size >= least],
)
@pytest.mark.parametrize("count", [1, 2, 9, 33, 64, 65, 66, 97, 100])
def test_a_last_batch_that_is_too_small_is_joined_to_the_one_before_and_no_other_changes(count, size, least):
    plain = [len(images) for images, _ in TrainBatches(DATA, [EVERY[:count]], size, seed=0).epoch(1)]
    batches = TrainBatches(DATA, [EVERY[:count]], size, seed=0, least=least)
    found = [len(images) for images, _ in batches.epoch(1)]
    assert sum(found) == count
    assert batches.steps(1) == len(found)
    if plain[-1] >= least or len(plain) == 1:
        assert found == plain
    else:
        assert found == [*plain[:-2], plain[-2] + plain[-1]]
    assert order(batches, 1) == order(TrainBatches(DATA, [EVERY[:count]], size, seed=0), 1)
