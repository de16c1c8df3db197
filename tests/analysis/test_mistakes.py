"""Mistakes and confused pairs against a plain count."""

from collections import Counter

from analysis.made_predictions import drawn

from cifar_sweeps.analysis.mistakes import confident_mistakes, confused_pairs, mistakes_as_data


def test_mistakes_are_all_wrong_ones_and_the_most_confident_come_first():
    predictions = drawn()
    found = confident_mistakes(predictions)
    assert set(found.tolist()) == {at for at in range(len(predictions)) if not predictions.correct[at]}
    confidence = [float(predictions.probabilities[at].max()) for at in found]
    assert confidence == sorted(confidence, reverse=True)
    assert confident_mistakes(predictions, 3).tolist() == found[:3].tolist()


def test_pairs_are_counted_in_one_direction_and_ranked_by_their_rate():
    predictions = drawn()
    counts = Counter(
        (int(label), int(guess))
        for label, guess in zip(predictions.labels, predictions.predicted, strict=True)
        if label != guess
    )
    sizes = Counter(predictions.labels.tolist())
    pairs = confused_pairs(predictions)
    assert {(pair.actual, pair.predicted): pair.count for pair in pairs} == counts
    rates = [pair.rate for pair in pairs]
    assert rates == sorted(rates, reverse=True)
    assert all(pair.rate == pair.count / sizes[pair.actual] for pair in pairs)
    for pair in pairs:
        assert {int(predictions.labels[at]) for at in pair.examples} == {pair.actual}
        assert {int(predictions.predicted[at]) for at in pair.examples} == {pair.predicted}
    limited = confused_pairs(predictions, count=2, examples=1)
    assert [(each.actual, len(each.examples)) for each in limited] == [(pair.actual, 1) for pair in pairs[:2]]


def test_mistakes_as_data_name_the_image_and_both_classes():
    predictions = drawn()
    at = confident_mistakes(predictions)[0]
    (first,) = mistakes_as_data(predictions, confident_mistakes(predictions, 1))
    assert first["index"] == len(predictions) - 1 - at  # the made index runs backwards
    assert first["actual"] == f"class {predictions.labels[at]}"
    assert first["predicted"] == f"class {predictions.predicted[at]}"
    assert first["probability"] > first["probability_of_actual"] >= 0
