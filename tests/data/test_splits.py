"""Validation images are held out as asked, and train_size takes a nested part of the rest."""

import math
from dataclasses import replace

import pytest
import torch
from data_toys import image_data, labelled

from cifar_sweeps.data.splits import split
from cifar_sweeps.errors import ConfigError

UNEVEN = torch.cat([torch.zeros(600), torch.ones(300), torch.full((100,), 2)]).long()


def shares(labels):
    return torch.bincount(labels, minlength=3).tolist()


@pytest.mark.parametrize("kind", ["stratified", "tail", "batch_1"])
@pytest.mark.parametrize("original_order", [True, False])
@pytest.mark.parametrize("val_fraction", [0.0, 0.1, 0.37])
def test_every_image_is_on_one_side(kind, original_order, val_fraction):
    splits = split(image_data(UNEVEN, original_order=original_order), val_fraction, kind, None, seed=1)
    assert torch.cat([splits.train, splits.val]).sort().values.tolist() == list(range(1000))
    assert splits.train.tolist() == sorted(splits.train.tolist())
    assert splits.val.tolist() == sorted(splits.val.tolist())
    assert splits.train.dtype == splits.val.dtype == torch.int64


def test_stratified_keeps_the_proportions():
    splits = split(image_data(UNEVEN), 0.2, "stratified", 80, seed=0)
    assert shares(UNEVEN[splits.val]) == [120, 60, 20]
    assert shares(UNEVEN[splits.train]) == [48, 24, 8]
    assert splits.notes == ()


def test_uneven_counts_differ_by_one_at_most():
    labels = torch.arange(103) % 10
    counts = torch.bincount(labels[split(image_data(labels), 0.25, "stratified", None, seed=0).val])
    assert counts.sum() == 26
    assert counts.max() - counts.min() <= 1


def test_the_seed_alone_decides():
    data = image_data(UNEVEN)
    first, again, other = (split(data, 0.1, "stratified", 100, seed) for seed in (0, 0, 1))
    assert torch.equal(first.val, again.val)
    assert torch.equal(first.train, again.train)
    assert not torch.equal(first.val, other.val)
    assert not torch.equal(first.train, other.train)


def test_original_order_gives_tail_and_first_batch():
    data = image_data(UNEVEN, original_order=True)
    assert split(data, 0.1, "tail", None, seed=0).val.tolist() == list(range(900, 1000))
    assert split(data, 0.1, "batch_1", None, seed=0).val.tolist() == list(range(200))
    assert split(data, 0.1, "tail", None, seed=0).notes == ()


@pytest.mark.parametrize(("kind", "size"), [("tail", 100), ("batch_1", 200)])
def test_without_original_order_they_are_stratified_and_say_so(kind, size):
    splits = split(image_data(UNEVEN), 0.1, kind, None, seed=0)
    assert shares(UNEVEN[splits.val]) == [size * 6 // 10, size * 3 // 10, size // 10]
    assert len(splits.notes) == 1
    assert f"data.split={kind}" in splits.notes[0]
    assert "stratified" in splits.notes[0]


@pytest.mark.parametrize("kind", ["stratified", "tail", "batch_1"])
def test_train_sizes_are_nested_and_leave_the_validation_images(kind):
    data = image_data(UNEVEN, original_order=True)
    whole, large, small = (split(data, 0.1, kind, size, seed=4) for size in (None, 300, 40))
    assert len(small.train) == 40
    assert set(small.train.tolist()) < set(large.train.tolist()) < set(whole.train.tolist())
    assert torch.equal(whole.val, large.val)
    assert torch.equal(whole.val, small.val)


@pytest.mark.parametrize(
    ("val_fraction", "kind", "train_size", "key"),
    [
        (1.0, "stratified", None, "data.val_fraction=1.0"),
        (-0.1, "stratified", None, "data.val_fraction=-0.1"),
        (math.nan, "stratified", None, "data.val_fraction=nan"),
        (0.0001, "stratified", None, "data.val_fraction=0.0001"),
        (0.9999, "tail", None, "data.val_fraction=0.9999"),
        (0.1, "head", None, "data.split=head"),
        (0.1, "stratified", 0, "data.train_size=0"),
        (0.1, "stratified", 901, "data.train_size=901: must be 1 to 900"),
        (0.1, "batch_1", 801, "data.train_size=801: must be 1 to 800"),
    ],
)
def test_impossible_values_are_named(val_fraction, kind, train_size, key):
    with pytest.raises(ConfigError, match=key):
        split(image_data(UNEVEN), val_fraction, kind, train_size, seed=0)


def test_too_few_images_for_a_fifth():
    with pytest.raises(ConfigError, match=r"data\.split=batch_1: a fifth of 4 images"):
        split(image_data(torch.arange(4)), 0.0, "batch_1", None, seed=0)


def test_parts_are_consecutive_in_the_original_order():
    splits = split(image_data(UNEVEN, original_order=True), 0.1, "batch_1", None, 0, parts=4)
    assert [part.tolist() for part in splits.parts] == [
        list(range(start, start + 200)) for start in (200, 400, 600, 800)
    ]
    assert splits.notes == ()


def test_parts_are_stratified_elsewhere_and_say_so():
    splits = split(image_data(UNEVEN), 0.2, "stratified", None, 0, parts=4)
    assert [shares(UNEVEN[part]) for part in splits.parts] == [[120, 60, 20]] * 4
    assert torch.equal(torch.cat(splits.parts).sort().values, splits.train)
    assert any("trainer.parts=4" in note for note in splits.notes)


def test_too_many_parts_are_refused():
    with pytest.raises(ConfigError, match=r"trainer\.parts=9"):
        split(image_data(UNEVEN), 0.2, "stratified", 8, 0, parts=9)


def test_the_test_set_as_validation_holds_nothing_out_and_is_marked():
    splits = split(image_data(UNEVEN), 0.2, "test", None, 0)
    assert splits.val_on_test
    assert len(splits.train) == 1000
    assert splits.val.tolist() == list(range(len(image_data(UNEVEN).test)))
    assert "validated on the test set" in splits.notes[0]


def test_a_fraction_of_the_training_images_is_the_beginning_of_the_whole():
    half = split(image_data(UNEVEN), 0.2, "stratified", None, 0, train_fraction=0.5)
    whole = split(image_data(UNEVEN), 0.2, "stratified", None, 0)
    assert (len(half.train), half.available) == (400, 800)
    assert set(half.train.tolist()) < set(whole.train.tolist())
    assert torch.equal(half.val, whole.val)


def test_fewer_validation_images_are_a_part_of_them_and_trained_on_by_none():
    few = split(image_data(UNEVEN), 0.2, "stratified", None, 0, val_size=50)
    whole = split(image_data(UNEVEN), 0.2, "stratified", None, 0)
    assert len(few.val) == 50
    assert set(few.val.tolist()) < set(whole.val.tolist())
    assert torch.equal(few.train, whole.train)
    with pytest.raises(ConfigError, match=r"data\.val_size=201"):
        split(image_data(UNEVEN), 0.2, "stratified", None, 0, val_size=201)


def test_fewer_validation_images_keep_the_class_proportions():
    few = split(image_data(UNEVEN), 0.2, "stratified", None, 0, val_size=50)
    assert shares(UNEVEN[few.val]) == [30, 15, 5]
    data = replace(image_data(UNEVEN), test=labelled(90, classes=3))
    on_test = split(data, 0.2, "test", None, 0, val_size=30)
    assert shares(data.test.labels[on_test.val]) == [10, 10, 10]


def test_the_fraction_is_taken_of_train_size():
    splits = split(image_data(UNEVEN), 0.2, "stratified", 100, 0, train_fraction=0.5)
    assert (len(splits.train), splits.available) == (50, 800)
    assert shares(UNEVEN[splits.train]) == [30, 15, 5]


@pytest.mark.parametrize("seed", range(5))
def test_no_class_is_off_by_a_whole_image_however_few_are_drawn(seed):
    data = image_data(UNEVEN)
    for size in range(1, 40):
        counts = torch.bincount(UNEVEN[split(data, 0.2, "stratified", size, seed).train], minlength=3)
        assert (counts - size * torch.tensor([0.6, 0.3, 0.1])).abs().max() < 1


@pytest.mark.parametrize("folds", [2, 3, 5, 1000])
def test_the_folds_of_a_seed_hold_every_image_out_once(folds):
    data = image_data(UNEVEN)
    chosen = range(folds) if folds < 10 else (0, 999)
    parts = [split(data, 0.1, "fold", None, seed=4, fold=fold, folds=folds) for fold in chosen]
    if folds < 10:
        assert torch.cat([part.val for part in parts]).sort().values.tolist() == list(range(1000))
    for part in parts:
        assert len(part.val) in (1000 // folds, 1000 // folds + 1)
        assert torch.cat([part.train, part.val]).sort().values.tolist() == list(range(1000))
        expected = [600 / folds, 300 / folds, 100 / folds]
        assert all(abs(have - want) < 2 for have, want in zip(shares(UNEVEN[part.val]), expected, strict=True))


@pytest.mark.parametrize(("fold", "folds"), [(5, 5), (-1, 5), (0, 1), (0, 1001)])
def test_a_fold_that_is_none_is_refused(fold, folds):
    with pytest.raises(ConfigError, match=f"data.fold={fold} data.folds={folds}: there are 1000 images"):
        split(image_data(UNEVEN), 0.1, "fold", None, seed=0, fold=fold, folds=folds)
