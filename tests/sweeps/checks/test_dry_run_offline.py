"""A sweep that is only shown downloads nothing and writes nothing."""

from conftest import cifar_train


def test_what_would_be_downloaded_is_said(tmp_path):
    outputs = tmp_path / "new" / "outputs"
    done = cifar_train(
        "-m",
        "sweep.dry_run=true",
        "experiment=base_cnn/base,base_cnn/vgg16_frozen",
        CIFAR_SWEEPS_OUTPUTS=str(outputs),
        http_proxy="http://127.0.0.1:9",
        https_proxy="http://127.0.0.1:9",
    )
    assert done.returncode == 0, done.stderr
    assert f"The images would be downloaded to {outputs}" in done.stdout
    assert "Pretrained weights would be downloaded" in done.stdout
    assert "2 jobs" in done.stdout
    assert not outputs.parent.exists()
