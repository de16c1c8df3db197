import math
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from training_toys import ToyBatches, clone_state, identical, toy_model, toy_optimizer

from cifar_sweeps.errors import ConfigError
from cifar_sweeps.training.loop import evaluate, fit
from cifar_sweeps.training.metrics import DivergedError, MetricSums
from cifar_sweeps.training.precision import BF16, FP32
from cifar_sweeps.training.schedules import Constant, Cosine, Plateau, Step


@pytest.mark.parametrize("precision", [FP32, BF16], ids=lambda precision: precision.name)
def test_overfits_one_batch(precision):
    batches = ToyBatches(batch_size=20)
    model = toy_model(dropout=0.0)
    epochs = list(fit(model, batches, toy_optimizer(model, "adam"), Constant(), epochs=60, seed=0, precision=precision))
    assert epochs[0].train_accuracy < 0.7
    assert epochs[-1].train_accuracy == 1.0
    assert epochs[-1].train_loss < 0.1 < epochs[0].train_loss


def test_training_changes_every_parameter():
    model = toy_model()
    before = clone_state(model)
    next(fit(model, ToyBatches(), toy_optimizer(model), Constant(), epochs=1, seed=0, precision=FP32))
    assert all(not torch.equal(before[name], weight) for name, weight in model.named_parameters())


def test_a_net_left_in_evaluation_mode_is_trained_in_training_mode():
    model, left = toy_model(), toy_model().eval()
    for net in (model, left):
        next(fit(net, ToyBatches(), toy_optimizer(net), Constant(), epochs=1, seed=0, precision=FP32))
    assert identical(clone_state(left), clone_state(model))
    assert not torch.equal(left[1].running_mean, toy_model()[1].running_mean)


@pytest.mark.parametrize(("precision", "dtype"), [(FP32, torch.float32), (BF16, torch.bfloat16)], ids=["fp32", "bf16"])
def test_training_and_validation_use_the_configured_precision(precision, dtype):
    model, seen = toy_model(), set()
    model[6].register_forward_hook(lambda layer, _, logits: seen.add((layer.training, logits.dtype)))
    batches = ToyBatches()
    optimizer = toy_optimizer(model)
    next(fit(model, batches, optimizer, Constant(), epochs=1, val_batches=batches, seed=0, precision=precision))
    assert seen == {(True, dtype), (False, dtype)}


def test_evaluation_changes_no_parameter_buffer_or_mode():
    model = toy_model()
    model.train()
    model[1].eval()  # as a frozen batch norm is
    before, modes = clone_state(model), [module.training for module in model.modules()]
    evaluate(model, ToyBatches(), FP32)
    assert identical(before, clone_state(model))
    assert modes == [module.training for module in model.modules()]


def test_evaluation_restores_the_mode_after_a_failure():
    model = toy_model().train()
    with pytest.raises(RuntimeError):
        evaluate(model, ToyBatches(images=torch.rand(4, 1, 8, 8)), FP32)
    assert model.training


def test_evaluation_weighs_images_and_keeps_their_order():
    model, batches = toy_model(), ToyBatches()
    evaluation = evaluate(model, batches, FP32)
    logits = model.eval()(batches.images).detach()
    torch.testing.assert_close(evaluation.logits, logits)
    assert torch.equal(evaluation.labels, batches.labels)
    assert evaluation.loss == pytest.approx(F.cross_entropy(logits, batches.labels).item(), rel=1e-5)
    assert evaluation.accuracy == (logits.argmax(1) == batches.labels).sum().item() / 20
    assert evaluation.logits.dtype == torch.float32
    assert not evaluation.logits.is_inference()  # or gradients could not be computed from it


def test_training_means_weigh_the_short_last_batch_for_what_it_holds():
    model, batches = toy_model(dropout=0.0)[0:1] + toy_model(dropout=0.0)[4:], ToyBatches()
    optimizer = toy_optimizer(model)
    optimizer.base_lr = 0.0  # then the epoch's running mean is the loss of the whole
    logits = model(batches.images).detach()
    metrics = next(fit(model, batches, optimizer, Constant(), epochs=1, seed=0, precision=FP32))
    assert metrics.train_loss == pytest.approx(F.cross_entropy(logits, batches.labels).item(), rel=1e-5)
    assert metrics.train_accuracy == (logits.argmax(1) == batches.labels).sum().item() / 20


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_same_seed_gives_same_weights_and_metrics_bit_for_bit(optimizer):
    def train(seed):
        model = toy_model()
        metrics = list(
            fit(model, ToyBatches(), toy_optimizer(model, optimizer), Constant(), epochs=3, seed=seed, precision=FP32)
        )
        return clone_state(model), [(epoch.train_loss, epoch.train_accuracy) for epoch in metrics]

    (weights, metrics), (again, metrics_again), (other, _) = train(5), train(5), train(6)
    assert identical(weights, again)
    assert metrics == metrics_again
    assert not identical(weights, other)


def test_dropout_of_an_epoch_does_not_depend_on_what_ran_before():
    def second_epoch(noise):
        model = toy_model()
        optimizer = toy_optimizer(model)
        torch.rand(noise)
        next(fit(model, ToyBatches(), optimizer, Constant(), epochs=2, first_epoch=2, seed=0, precision=FP32))
        return clone_state(model)

    assert identical(second_epoch(1), second_epoch(100))


def dropout_masks(first_epoch=1):
    """Which elements were dropped, by epoch, of three epochs."""
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(192, 4))
    dropped, masks = [], {}
    model[1].register_forward_hook(lambda _, __, kept: dropped.append(kept == 0))
    ones = ToyBatches(images=torch.ones(20, 3, 8, 8))
    run = fit(model, ones, toy_optimizer(model), Constant(), epochs=3, first_epoch=first_epoch, seed=0, precision=FP32)
    for metrics in run:
        masks[metrics.epoch] = torch.cat(dropped)
        dropped.clear()
    return masks


def test_every_epoch_has_its_own_dropout_masks_which_a_resume_draws_again():
    whole, resumed = dropout_masks(), dropout_masks(first_epoch=2)
    assert not any(torch.equal(whole[one], whole[other]) for one, other in ((1, 2), (1, 3), (2, 3)))
    assert all(torch.equal(resumed[epoch], whole[epoch]) for epoch in (2, 3))


def test_epochs_are_numbered_from_first_epoch_to_epochs():
    model = toy_model()
    run = fit(model, ToyBatches(), toy_optimizer(model), Constant(), epochs=4, first_epoch=3, seed=0, precision=FP32)
    assert [metrics.epoch for metrics in run] == [3, 4]


def test_validation_is_measured_at_the_epochs_end_and_feeds_the_plateau():
    model, batches = toy_model(), ToyBatches()
    optimizer = toy_optimizer(model)
    schedule = Plateau(factor=0.5, patience=1, min_delta=100.0)
    rates = []
    run = fit(model, batches, optimizer, schedule, epochs=4, val_batches=batches, seed=0, precision=FP32)
    for metrics in run:
        rates.append(metrics.lr)
        evaluation = evaluate(model, batches, FP32)
        assert (metrics.val_loss, metrics.val_accuracy) == (evaluation.loss, evaluation.accuracy)
    assert rates == pytest.approx([0.05, 0.05, 0.025, 0.0125])


def test_without_validation_data_its_metrics_are_none():
    model = toy_model()
    metrics = next(fit(model, ToyBatches(), toy_optimizer(model), Constant(), epochs=1, seed=0, precision=FP32))
    assert metrics.val_loss is None
    assert metrics.val_accuracy is None


def test_plateau_without_validation_data_is_refused_before_training():
    model = toy_model()
    before = clone_state(model)
    with pytest.raises(ConfigError, match="lr_schedule=plateau: follows the validation loss"):
        fit(model, ToyBatches(), toy_optimizer(model), Plateau(), epochs=1, seed=0, precision=FP32)
    assert identical(before, clone_state(model))


def test_a_schedule_sets_the_rate_of_each_step_and_the_epochs_metric_is_the_first():
    model = toy_model()
    optimizer = toy_optimizer(model)
    rates = []
    take_step = optimizer.step
    optimizer.step = lambda: (rates.append(optimizer.lr), take_step())
    run = fit(model, ToyBatches(), optimizer, Cosine(epochs=2), epochs=2, seed=0, precision=FP32)
    metrics = list(run)
    expected = [0.05 * 0.5 * (1 + math.cos(math.pi * step / 6)) for step in range(6)]
    assert rates == pytest.approx(expected)
    assert [epoch.lr for epoch in metrics] == pytest.approx([expected[0], expected[3]])


def rates_of(batches, schedule, **options):
    """The learning rate of every step, and those in the epochs' metrics."""
    model = toy_model()
    optimizer = toy_optimizer(model)
    rates, take_step = [], optimizer.step
    optimizer.step = lambda: (rates.append(optimizer.lr), take_step())
    metrics = list(fit(model, batches, optimizer, schedule, seed=0, precision=FP32, **options))
    return rates, [epoch.lr for epoch in metrics]


def test_a_schedule_counts_passes_over_all_parts():
    rates, recorded = rates_of(ToyBatches(), Cosine(epochs=2), epochs=4, parts=2)
    expected = [0.05 * 0.5 * (1 + math.cos(math.pi * step / 12)) for step in range(12)]
    assert rates == pytest.approx(expected)
    assert recorded == pytest.approx(expected[::3])


class Shrinking(ToyBatches):
    """Three batches in the first epoch, two in the second: parts need not be equal."""

    def epoch(self, epoch):
        yield from list(super().epoch(epoch))[: self.steps(epoch)]

    def steps(self, epoch):
        return 4 - epoch


def test_schedule_and_progress_cover_the_whole_of_an_epoch_with_fewer_steps_than_the_first():
    seen = []
    rates, _ = rates_of(Shrinking(), Cosine(epochs=2), epochs=2, on_step=seen.append)
    done = (0, 1 / 3, 2 / 3, 1, 3 / 2)
    assert rates == pytest.approx([0.05 * 0.5 * (1 + math.cos(math.pi * epochs / 2)) for epochs in done])
    ends = [(progress.epoch, progress.step) for progress in seen if progress.step == progress.steps]
    assert ends == [(1, 3), (2, 2)]


class Observing(Constant):
    """A schedule that keeps the losses that it observes."""

    def __init__(self):
        self.losses = []

    def observe(self, val_loss):
        self.losses.append(val_loss)


def test_a_schedule_observes_each_validation_loss_with_the_penalty():
    for decays, name in (({}, "val_loss"), ({"l2": 0.1}, "val_objective")):
        model, batches, schedule = toy_model(), ToyBatches(), Observing()
        run = fit(
            model, batches, toy_optimizer(model, **decays), schedule,
            epochs=5, val_batches=batches, validate_every=2, seed=0, precision=FP32,
        )  # fmt: skip
        metrics = list(run)
        assert [epoch.epoch for epoch in metrics if epoch.val_loss is not None] == [2, 4, 5]
        assert schedule.losses == [getattr(metrics[number - 1], name) for number in (2, 4, 5)]


def test_objectives_are_losses_with_the_penalty():
    model, batches = toy_model(), ToyBatches()
    optimizer = toy_optimizer(model, l2=0.1, l1=0.01)
    optimizer.base_lr = 0.0
    kernel = model[0].weight.detach().clone()
    metrics = next(fit(model, batches, optimizer, Constant(), epochs=1, val_batches=batches, seed=0, precision=FP32))
    penalty = (0.1 * kernel.square().sum() + 0.01 * kernel.abs().sum()).item()
    assert metrics.train_objective == pytest.approx(metrics.train_loss + penalty, rel=1e-5)
    assert metrics.val_objective == pytest.approx(metrics.val_loss + penalty, rel=1e-5)


def test_the_training_objective_is_a_running_mean_and_the_validation_objective_is_of_the_epochs_end():
    model, batches = toy_model(), ToyBatches()
    optimizer = toy_optimizer(model, l2=0.1)
    penalties = []
    take_step = optimizer.step
    optimizer.step = lambda: (penalties.append(0.1 * model[0].weight.detach().square().sum().item()), take_step())
    metrics = next(fit(model, batches, optimizer, Constant(), epochs=1, val_batches=batches, seed=0, precision=FP32))
    mean = (8 * penalties[0] + 8 * penalties[1] + 4 * penalties[2]) / 20
    assert metrics.train_objective - metrics.train_loss == pytest.approx(mean, rel=1e-5)
    at_the_end = 0.1 * model[0].weight.detach().square().sum().item()
    assert metrics.val_objective - metrics.val_loss == pytest.approx(at_the_end, rel=1e-5)


def test_without_a_penalty_there_is_no_objective():
    model, batches = toy_model(), ToyBatches()
    metrics = next(
        fit(model, batches, toy_optimizer(model), Constant(), epochs=1, val_batches=batches, seed=0, precision=FP32)
    )
    assert (metrics.train_objective, metrics.val_objective) == (None, None)


def test_a_loss_that_is_not_finite_names_epoch_and_step():
    class BrokenAt(ToyBatches):
        def epoch(self, epoch):
            for step, (images, labels) in enumerate(super().epoch(epoch), start=1):
                yield (images * math.nan if (epoch, step) == (2, 2) else images), labels

    model = toy_model()
    run = fit(model, BrokenAt(), toy_optimizer(model), Constant(), epochs=3, seed=0, precision=FP32)
    next(run)
    with pytest.raises(DivergedError, match=r"the loss is nan at epoch 2, step 2: .*optimizer\.lr") as caught:
        next(run)
    assert (caught.value.epoch, caught.value.step) == (2, 2)


@pytest.mark.parametrize(
    ("losses", "step", "value"),
    [([1.0, math.inf, math.nan], 2, math.inf), ([math.nan, 1.0], 1, math.nan), ([2.0, 1.0, math.inf], 3, math.inf)],
    ids=["inf_then_nan", "at_once", "last_step"],
)
def test_the_sums_find_the_first_bad_step_without_a_read_in_between(losses, step, value):
    sums = MetricSums(torch.device("cpu"))
    for loss in losses:
        sums.add(torch.tensor(loss), torch.tensor(1), None, 4)
    with pytest.raises(DivergedError) as caught:
        sums.read(epoch=7)
    assert (caught.value.epoch, caught.value.step) == (7, step)
    assert caught.value.value == pytest.approx(value, nan_ok=True)


def test_weights_that_break_at_the_last_step_are_found_by_validation():
    model, batches = toy_model(dropout=0.0), ToyBatches(batch_size=20)
    optimizer = toy_optimizer(model)
    take_step = optimizer.step

    def break_weights():
        take_step()
        model[0].weight.data.fill_(math.nan)

    optimizer.step = break_weights
    with pytest.raises(DivergedError, match="epoch 1, step 1"):
        next(fit(model, batches, optimizer, Constant(), epochs=1, val_batches=batches, seed=0, precision=FP32))


def test_a_diverged_error_can_be_pickled():
    error = pickle.loads(pickle.dumps(DivergedError(3, 17, math.inf)))
    assert (error.epoch, error.step, error.value, str(error)) == (3, 17, math.inf, str(DivergedError(3, 17, math.inf)))


@pytest.mark.parametrize(("interval", "steps"), [(0.0, [1, 2, 3]), (3600.0, [3])], ids=["every_step", "the_last_only"])
def test_progress_is_reported_at_the_interval_and_after_the_last_step(monkeypatch, interval, steps):
    monkeypatch.setattr("cifar_sweeps.training.loop.PROGRESS_SECONDS", interval)
    model, seen = toy_model(), []
    run = fit(
        model, ToyBatches(), toy_optimizer(model), Constant(), epochs=1, seed=0, precision=FP32, on_step=seen.append
    )
    metrics = next(run)
    assert [(progress.epoch, progress.step, progress.steps) for progress in seen] == [(1, s, 3) for s in steps]
    assert (seen[-1].loss, seen[-1].accuracy) == (metrics.train_loss, metrics.train_accuracy)


def test_seconds_are_those_of_training_alone(monkeypatch):
    clock = iter([10.0, 14.0])  # starts the epoch, reads its sums; validation asks for no time
    monkeypatch.setattr("cifar_sweeps.training.metrics.time.perf_counter", lambda: next(clock))
    model, batches = toy_model(), ToyBatches()
    metrics = next(
        fit(model, batches, toy_optimizer(model), Constant(), epochs=1, val_batches=batches, seed=0, precision=FP32)
    )
    assert (metrics.epoch_seconds, metrics.images_per_second) == (4.0, 5.0)


def test_the_rate_is_lowered_at_the_milestone_in_training():
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 4))
    run = fit(model, ToyBatches(), toy_optimizer(model), Step([1], 0.1), epochs=2, seed=0, precision=FP32)
    assert [metrics.lr for metrics in run] == pytest.approx([0.05, 0.005])
