"""Every figure in conf/experiment is the one that its document printed, and every figure typed here is in an arm.

The table was typed from the documents, without the YAML files. Of a long figure the arms have four decimals.
"""
# ruff: noqa: E501 (a curve is one line)

import statistics
from decimal import Decimal

import pytest

from cifar_sweeps.config.compose import compose, compose_all
from cifar_sweeps.studies.overview.catalogue import experiments

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
DOCUMENTS = {"keras_lesson": "000", "case_study": "001", "lenet_report": "002", "lab_episode": "003", "base_cnn": "004"}

# metric | how | lines of the document's text file | what it printed there. The epochs of a part of the images follow
# those of the parts before it: 002's last batch has epochs 106 to 140. "...": the document cut cells out.
PRINTED = {
    "keras_lesson/small_resnet": """
        train/accuracy | epochs 1-6 | 178-188 | 0.4571 0.7060 0.7840 0.8300 0.8605 0.8870
        train/loss | epochs 1-6 | 178-188 | 1.4984 0.8246 0.6235 0.4919 0.4057 0.3265
        val/accuracy | epochs 1-6 | 178-188 | 0.3725 0.6063 0.5540 0.7017 0.7434 0.7361
        val/loss | epochs 1-6 | 178-188 | 2.3932 1.2428 1.6407 0.8876 0.7516 0.8900
        test/accuracy | end | 191 | 0.7391999959945679
        test/loss | end | 191 | 1.5494877099990845
        seconds_an_epoch | median | 178-188 | 144 151 144 144 145 146
    """,
    "keras_lesson/mobilenet_v2": """
        train/loss | epochs 1-12 | 286-297 | 2.0282 1.7015 1.5527 1.4581 1.3577 1.2711 1.1959 1.1309 1.0761 1.0284 0.9886 0.9592
        test_augmented/loss | epochs 1-12 | 286-297 | 1.8024 1.5760 1.4802 1.3958 1.2703 1.1938 1.1374 1.0992 1.0786 1.0264 0.9653 0.9269
        test_augmented/accuracy | epochs 1-12 | 286-297 | 33.21% 41.68% 45.84% 49.25% 54.03% 57.68% 60.14% 60.50% 60.98% 63.66% 65.69% 67.87%
    """,
    "keras_lesson/resnet18": """
        train/loss | epochs 1-12 | 384-395 | 1.5724 1.1948 1.0300 0.9237 0.8449 0.7866 0.7360 0.6988 0.6611 0.6298 0.6008 0.5786
        test_augmented/loss | epochs 1-12 | 384-395 | 1.3800 1.1422 1.0684 0.8670 0.8781 0.7904 0.7425 0.7322 0.6731 0.6781 0.6799 0.6354
        test_augmented/accuracy | epochs 1-12 | 384-395 | 51.36% 59.30% 62.96% 69.69% 69.89% 72.74% 74.80% 74.74% 76.97% 76.81% 76.57% 77.86%
    """,
    "keras_lesson/kernel_size/f64_128_512_k3": """
        train/accuracy | end | 406 | 0.9498
        test/accuracy | end | 406 | 0.8737
    """,
    "keras_lesson/kernel_size/f64_128_512_k357": """
        train/accuracy | end | 407 | 0.9838
        test/accuracy | end | 407 | 0.8635
    """,
    "keras_lesson/kernel_size/f64_64_128_k357": """
        train/accuracy | end | 408 | 0.9836
        test/accuracy | end | 408 | 0.8629
    """,
    "case_study/model_1": """
        train/loss | epochs 1-10 | 327-345 | 1.3551 0.9225 0.6909 0.4753 0.2814 0.1533 0.0839 0.0525 0.0337 0.0290
        train/accuracy | epochs 1-10 | 327-345 | 0.5157 0.6753 0.7562 0.8357 0.9044 0.9496 0.9727 0.9836 0.9892 0.9909
        val/loss | epochs 1-10 | 327-345 | 1.0576 0.9056 0.9105 0.9843 1.0863 1.4088 1.6588 1.9140 1.9631 2.1622
        val/accuracy | epochs 1-10 | 327-345 | 0.6206 0.6880 0.6990 0.6982 0.7106 0.6936 0.6998 0.6970 0.6938 0.6946
        seconds_an_epoch | median | 327-345 | 19 9 9 9 9 9 9 9 9 9
    """,
    "case_study/model_2": """
        train/loss | epochs 1-10 | 488-506 | 1.5545 1.1775 1.0168 0.9153 0.8393 0.7721 0.7122 0.6680 0.6168 0.5861
        train/accuracy | epochs 1-10 | 488-506 | 0.4451 0.5825 0.6428 0.6762 0.7048 0.7272 0.7492 0.7627 0.7808 0.7942
        val/loss | epochs 1-10 | 488-506 | 1.7006 1.2222 1.1596 1.1593 1.1708 1.2177 1.0574 0.9645 1.1259 1.0098
        val/accuracy | epochs 1-10 | 488-506 | 0.4308 0.5828 0.6174 0.6192 0.6276 0.6312 0.6698 0.6820 0.6530 0.6892
        seconds_an_epoch | median | 488-506 | 11 10 10 10 10 10 10 10 10 10
    """,
    "case_study/model_3": """
        train/loss | epochs 1-15 | 674-702 | 1.6298 1.2694 1.1054 1.0017 0.9240 0.8632 0.8120 0.7721 0.7368 0.6983 0.6773 0.6485 0.6244 0.6061 0.5824
        train/accuracy | epochs 1-15 | 674-702 | 0.4076 0.5462 0.6079 0.6465 0.6752 0.6963 0.7168 0.7303 0.7409 0.7530 0.7612 0.7716 0.7813 0.7853 0.7947
        val/loss | epochs 1-15 | 674-702 | 1.3043 1.0677 0.9629 0.9013 0.8416 0.7724 0.7838 0.7191 0.7273 0.6896 0.6766 0.6468 0.6540 0.6455 0.6239
        val/accuracy | epochs 1-15 | 674-702 | 0.5286 0.6286 0.6626 0.6908 0.7102 0.7350 0.7258 0.7508 0.7488 0.7584 0.7692 0.7752 0.7764 0.7788 0.7838
        seconds_an_epoch | median | 674-702 | 14 12 12 12 13 13 13 13 13 12 13 13 16 14 13
    """,
    "case_study/model_4": """
        train/loss | epochs 1-10 | 880-898 | 1.0818 0.8667 0.7654 0.6931 0.6395 0.5934 0.5527 0.5064 0.4773 0.4437
        train/accuracy | epochs 1-10 | 880-898 | 0.6320 0.7068 0.7394 0.7654 0.7832 0.7973 0.8108 0.8268 0.8396 0.8473
        val/loss | epochs 1-10 | 880-898 | 0.8091 0.7526 0.6967 0.6643 0.6554 0.6257 0.6206 0.6014 0.6055 0.6118
        val/accuracy | epochs 1-10 | 880-898 | 0.7244 0.7462 0.7658 0.7744 0.7752 0.7840 0.7900 0.7960 0.7920 0.7940
        seconds_an_epoch | median | 880-898 | 10 8 8 8 8 8 8 8 8 8
        test/precision | by class | 958-967 | 0.80 0.92 0.76 0.69 0.78 0.61 0.82 0.86 0.82 0.84
        test/recall | by class | 958-967 | 0.84 0.84 0.70 0.54 0.73 0.76 0.86 0.83 0.91 0.85
        test/f1 | by class | 958-967 | 0.82 0.88 0.73 0.61 0.76 0.68 0.84 0.84 0.86 0.85
        test/accuracy | end | 969 | 0.79
    """,
    "lenet_report/model_1": """
        val/objective | end | 129 | 1.054
        val/accuracy | end | 129 | 0.739
    """,
    "lenet_report/model_2": """
        train/objective | epochs 131-139 | 214-230 | 0.6179 0.6265 0.6278 0.6085 0.5927 0.6007 0.6053 0.6028 0.5957
        train/accuracy | epochs 131-139 | 214-230 | 0.8036 0.8025 0.8006 0.8083 0.8089 0.8054 0.8048 0.8056 0.8092
        val/objective | epochs 131-139 | 214-230 | 0.7111 0.7495 0.7578 0.6924 0.7173 0.6488 0.6684 0.7041 0.6856
        val/accuracy | epochs 131-139 | 214-230 | 0.7861 0.7696 0.7721 0.7922 0.7869 0.8004 0.7907 0.7892 0.7949
        train/objective | end | 232 | 0.5779
        train/accuracy | end | 232 | 0.8183
        val/objective | end | 232 | 0.7209
        val/accuracy | end | 232 | 0.7849
        seconds_an_epoch | median | 214-232 | 11 11 11 11 11 11 11 11 11 11
    """,
    "lenet_report/model_3": """
        train/objective | min of epochs 106-140 | 334 | 0.420
        train/objective | max of epochs 106-140 | 334 | 1.104
        train/objective | end | 334 | 0.420
        val/objective | min of epochs 106-140 | 335 | 0.810
        val/objective | max of epochs 106-140 | 335 | 1.000
        val/objective | end | 335 | 0.956
        train/accuracy | min of epochs 106-140 | 338 | 0.675
        train/accuracy | max of epochs 106-140 | 338 | 0.898
        train/accuracy | end | 338 | 0.898
        val/accuracy | min of epochs 106-140 | 339 | 0.737
        val/accuracy | max of epochs 106-140 | 339 | 0.772
        val/accuracy | end | 339 | 0.757
    """,
    "lenet_report/l2_0": """
        train/loss | min of epochs 106-125 | 360 | 0.049
        train/loss | max of epochs 106-125 | 360 | 1.170
        train/loss | epoch 125 | 360 | 0.049
        val/loss | min of epochs 106-125 | 361 | 0.925
        val/loss | max of epochs 106-125 | 361 | 2.307
        val/loss | epoch 125 | 361 | 2.307
        train/accuracy | min of epochs 106-125 | 364 | 0.618
        train/accuracy | max of epochs 106-125 | 364 | 0.984
        train/accuracy | epoch 125 | 364 | 0.984
        val/accuracy | min of epochs 106-125 | 365 | 0.667
        val/accuracy | max of epochs 106-125 | 365 | 0.694
        val/accuracy | epoch 125 | 365 | 0.682
    """,
    "lenet_report/l2_5e-5": """
        train/objective | min of epochs 106-140 | 380 | 0.175
        train/objective | max of epochs 106-140 | 380 | 1.275
        train/objective | end | 380 | 0.195
        val/objective | min of epochs 106-140 | 381 | 1.027
        val/objective | max of epochs 106-140 | 381 | 2.319
        val/objective | end | 381 | 2.307
        train/accuracy | min of epochs 106-140 | 384 | 0.632
        train/accuracy | max of epochs 106-140 | 384 | 0.990
        train/accuracy | end | 384 | 0.984
        val/accuracy | min of epochs 106-140 | 385 | 0.679
        val/accuracy | max of epochs 106-140 | 385 | 0.711
        val/accuracy | end | 385 | 0.689
    """,
    "lenet_report/l2_5e-4": """
        train/objective | min of epochs 106-140 | 400 | 0.256
        train/objective | max of epochs 106-140 | 400 | 1.312
        train/objective | end | 400 | 0.265
        val/objective | min of epochs 106-140 | 401 | 1.053
        val/objective | max of epochs 106-140 | 401 | 1.981
        val/objective | end | 401 | 1.790
        train/accuracy | min of epochs 106-140 | 404 | 0.637
        train/accuracy | max of epochs 106-140 | 404 | 0.979
        train/accuracy | end | 404 | 0.975
        val/accuracy | min of epochs 106-140 | 405 | 0.679
        val/accuracy | max of epochs 106-140 | 405 | 0.713
        val/accuracy | end | 405 | 0.704
    """,
    "lenet_report/dropout": """
        train/loss | end | 431 | 0.198
        val/loss | end | 431 | 0.765
    """,
    "lenet_report/l2_dropout": """
        train/objective | min of epochs 106-140 | 441 | 0.520
        train/objective | max of epochs 106-140 | 441 | 1.137
        train/objective | end | 441 | 0.526
        val/objective | min of epochs 106-140 | 442 | 0.853
        val/objective | max of epochs 106-140 | 442 | 1.082
        val/objective | end | 442 | 1.075
        train/accuracy | min of epochs 106-140 | 445 | 0.695
        train/accuracy | max of epochs 106-140 | 445 | 0.899
        train/accuracy | end | 445 | 0.897
        val/accuracy | min of epochs 106-140 | 446 | 0.750
        val/accuracy | max of epochs 106-140 | 446 | 0.779
        val/accuracy | end | 446 | 0.763
    """,
    "lenet_report/final": """
        train/objective | epochs 127-139 | 464-488 | 0.5664 0.5273 0.5389 0.5067 0.5284 0.5165 0.5099 0.5116 0.5058 0.4938 0.5061 0.5100 0.4911
        train/accuracy | epochs 127-139 | 464-488 | 0.8837 0.8954 0.8936 0.9002 0.8942 0.9037 0.9024 0.9009 0.9053 0.9109 0.9052 0.9026 0.9099
        val/objective | epochs 127-139 | 464-488 | 0.9053 0.9042 0.8974 0.9446 0.9316 0.9446 0.9721 0.9287 0.9221 0.9544 0.9288 0.9433 0.9481
        val/accuracy | epochs 127-139 | 464-488 | 0.7899 0.7954 0.7939 0.7929 0.7938 0.7878 0.7825 0.7912 0.7950 0.7848 0.7928 0.7911 0.7989
        train/objective | end | 490 | 0.4904
        train/accuracy | end | 490 | 0.9086
        val/objective | end | 490 | 0.9522
        val/accuracy | end | 490 | 0.7875
        seconds_an_epoch | median | 464-490 | 3 3 3 3 3 3 3 3 3 3 3 3 3 3
        test/objective | end | 493 | 0.9805314288139343
        test/accuracy | end | 493 | 0.7838
        test/confusion | row airplane | 505 | 820 20 32 20 ... 8 12 42 39
        test/confusion | row automobile | 506 | 10 906 2 4 ... 5 0 13 57
        test/confusion | row bird | 507 | 65 5 652 43 ... 88 12 3 9
        test/confusion | row cat | 508 | 27 7 54 624 ... 90 13 7 23
        test/confusion | row deer | 509 | 22 3 65 45 ... 62 52 4 4
        test/confusion | row dog | 510 | 14 4 50 145 ... 45 23 4 12
        test/confusion | row frog | 511 | 7 0 21 22 ... 911 1 5 4
        test/confusion | row horse | 512 | 20 0 28 48 ... 10 781 0 25
        test/confusion | row ship | 513 | 53 24 5 8 ... 11 3 854 35
        test/confusion | row truck | 514 | 19 48 3 6 ... 3 1 12 905
        test/precision | by class | 520-529 | 0.78 0.89 0.71 0.65 0.76 0.73 0.74 0.87 0.90 0.81
        test/recall | by class | 520-529 | 0.82 0.91 0.65 0.62 0.72 0.67 0.91 0.78 0.85 0.91
        test/f1 | by class | 520-529 | 0.80 0.90 0.68 0.64 0.74 0.69 0.82 0.82 0.88 0.86
    """,
    "lab_episode/epochs_100": """
        test/accuracy | end | 156 | 77.37%
        test/loss | end | 156 | 0.670
    """,
    "lab_episode/epochs_150": """
        test/accuracy | end | 157 | 78.22%
        test/loss | end | 157 | 0.646
    """,
    "lab_episode/epochs_200": """
        test/accuracy | end | 158 | 77.77%
        test/loss | end | 158 | 0.670
    """,
    "base_cnn/base": """
        test/loss | end | 106 | 0.9497934579849243
        test/accuracy | end | 107 | 0.6603000164031982
        test/loss | end | 224 | 1.0423426628112793
        test/accuracy | end | 225 | 0.6327000260353088
        test/accuracy | end, text | 111 | 65.5%
        val/accuracy | end, text | 257 | 64.96%
    """,
    "base_cnn/vgg16_frozen": """
        test/loss | end | 170 | 1.1945030689239502
        test/accuracy | end | 171 | 0.5825999975204468
        val/accuracy | end, text | 174 | 58.4%
    """,
    "base_cnn/augmented": """
        val/accuracy | end, text | 257 | 68.93%
    """,
}


@pytest.fixture(scope="module")
def configs():
    names = experiments()
    return dict(zip(names, compose_all([[f"experiment={name}"] for name in names]), strict=True))


@pytest.mark.parametrize("arm", sorted({*experiments(), *PRINTED}))
def test_an_arm_has_the_figures_that_its_document_printed_and_no_others(arm, configs):
    assert sorted(stated(configs[arm].published)) == sorted(printed(PRINTED.get(arm, "")))


def test_each_figure_names_its_own_document(configs):
    for arm in PRINTED:
        document = f"document {DOCUMENTS[arm.split('/')[0]]}, "
        assert [entry.where for entry in configs[arm].published if not entry.where.startswith(document)] == [], arm


def test_a_visible_diagonal_of_the_confusion_matrix_is_the_recall_that_is_printed_below_it(configs):
    entries = {entry.metric: entry for entry in configs["lenet_report/final"].published}
    for i, (name, row) in enumerate(zip(CLASSES, entries["test/confusion"].matrix, strict=True)):
        assert sum(count or 0 for count in row) <= 1000
        assert row[i] is None or abs(row[i] / 1000 - entries["test/recall"].by_class[name]) <= 0.005 + 1e-9


def test_training_length_has_the_figures_of_its_three_arms_at_their_epochs(configs):
    study = compose(["study=training_length", "experiment=lab_episode/epochs_200"]).published
    arms = [
        (length, entry) for length in (100, 150, 200) for entry in configs[f"lab_episode/epochs_{length}"].published
    ]
    assert [(entry.epoch, entry.metric, entry.value) for entry in study] == [
        (length, entry.metric, entry.value) for length, entry in arms
    ]


def printed(table):
    """Yield (metric, how, figures) of each line of the table."""
    for line in table.strip().splitlines():
        metric, how, _, digits = (cell.strip() for cell in line.split("|"))
        if how == "median":
            yield metric, "end", shown([statistics.median(int(seconds) for seconds in digits.split())])
        elif how.startswith("row "):
            yield metric, how, digits.replace("...", "- -")
        else:
            yield metric, how, shown(digits.split())


def stated(published):
    """Yield (metric, how, figures) of each entry of an arm; of a matrix for each row."""
    for entry in published:
        if entry.matrix:
            for name, row in zip(CLASSES, entry.matrix, strict=True):
                yield entry.metric, f"row {name}", " ".join("-" if count is None else str(count) for count in row)
        elif entry.by_class:
            assert tuple(entry.by_class) == CLASSES
            yield entry.metric, "by class", shown(entry.by_class.values())
        elif entry.values:
            last = entry.first_epoch + len(entry.values) - 1
            yield entry.metric, f"epochs {entry.first_epoch}-{last}", shown(entry.values)
        elif entry.extreme:
            yield entry.metric, f"{entry.extreme} of epochs {entry.first_epoch}-{entry.epoch}", shown([entry.value])
        else:
            how = "end" if entry.epoch is None else f"epoch {entry.epoch}"
            yield entry.metric, how + (", text" if ", text: " in entry.where else ""), shown([entry.value])


def shown(figures):
    """Return figures with four decimals; a per cent is a hundredth."""
    texts = [str(figure) for figure in figures]
    numbers = [Decimal(text.rstrip("%")) / (100 if text.endswith("%") else 1) for text in texts]
    return " ".join(f"{number:.4f}" for number in numbers)
