from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from cvbench.data import cifar10, digits, mnist
from cvbench.data.base import DataError
from cvbench.data.download import fetch


class Quiet(SimpleHTTPRequestHandler):
    asked: list[str] = []  # noqa: RUF012

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        Quiet.asked.append(self.path)
        super().do_GET()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A web server on the loopback, and the folder that it serves."""
    folder = tmp_path / "site"
    folder.mkdir()
    Quiet.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", folder
    server.shutdown()
    thread.join()
    server.server_close()


def published(path: Path, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, path.read_bytes()).hexdigest()}"


@pytest.fixture
def fake_mnist(site: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Serves a tiny MNIST, and lets the dataset's own file name it."""
    url, folder = site
    files = {}
    for part, count in {"train": 60, "t10k": 5}.items():
        images, labels = np.zeros((count, 4, 4), np.uint8), np.zeros(count, np.uint8)
        for kind, array in {"images-idx3": images, "labels-idx1": labels}.items():
            sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
            files[f"{part}-{kind}-ubyte.gz"] = gzip.compress(bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes())
    for name, content in files.items():
        (folder / name).write_bytes(content)
    monkeypatch.setattr(mnist, "FILES", {f"{url}/{name}": published(folder / name) for name in files})
    return files


def test_plain_files(tmp_path: Path, fake_mnist: dict[str, bytes]):
    root = tmp_path / "data"
    seen: list[tuple[str, int, int]] = []
    written = fetch("mnist", root, progress=lambda *step: seen.append(step))
    raw = root / "MNIST" / "raw"
    assert sorted(written) == sorted(raw / name for name in fake_mnist)
    assert {path.name: path.read_bytes() for path in raw.iterdir()} == fake_mnist
    for name, content in fake_mnist.items():
        assert [step for step in seen if step[0] == name][-1] == (name, len(content), len(content))
    assert all(0 < done <= total for _, done, total in seen)
    assert len(mnist.build(root).splits["test"]) == 5


def test_again_fetches_nothing(tmp_path: Path, fake_mnist: dict[str, bytes]):
    fetch("mnist", tmp_path)
    Quiet.asked.clear()
    assert fetch("mnist", tmp_path) == []
    assert Quiet.asked == []


def test_only_what_is_missing_or_differs_and_the_old_file_is_kept(tmp_path: Path, fake_mnist: dict[str, bytes]):
    fetch("mnist", tmp_path)
    raw = tmp_path / "MNIST" / "raw"
    (raw / "t10k-labels-idx1-ubyte.gz").write_bytes(b"mine")
    (raw / "train-labels-idx1-ubyte.gz").unlink()
    assert sorted(path.name for path in fetch("mnist", tmp_path)) == [
        "t10k-labels-idx1-ubyte.gz",
        "train-labels-idx1-ubyte.gz",
    ]
    assert (raw / "t10k-labels-idx1-ubyte.gz").read_bytes() == fake_mnist["t10k-labels-idx1-ubyte.gz"]
    assert (raw / "t10k-labels-idx1-ubyte.gz.replaced").read_bytes() == b"mine"


def test_wrong_checksum(tmp_path: Path, site: tuple[str, Path], fake_mnist: dict[str, bytes]):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "t10k-images-idx3-ubyte.gz").write_bytes(b"mine")
    (site[1] / "t10k-images-idx3-ubyte.gz").write_bytes(b"tampered with")
    with pytest.raises(DataError) as caught:
        fetch("mnist", tmp_path)
    wanted = hashlib.sha256(fake_mnist["t10k-images-idx3-ubyte.gz"]).hexdigest()
    came = hashlib.sha256(b"tampered with").hexdigest()
    assert f"t10k-images-idx3-ubyte.gz: expected sha256:{wanted}, but what came is sha256:{came} (13 bytes)" in str(
        caught.value
    )
    left = {path.name: path.read_bytes() for path in raw.iterdir()}
    assert left.pop("t10k-images-idx3-ubyte.gz") == b"mine"
    assert all(fake_mnist[name] == content for name, content in left.items())  # the good ones stay, the bad one is gone


def test_not_found_and_no_server(tmp_path: Path, site: tuple[str, Path], fake_mnist: dict[str, bytes], monkeypatch):
    (site[1] / "train-images-idx3-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"train-images.*could not be downloaded \(404.*put it at .*MNIST/raw"):
        fetch("mnist", tmp_path)
    monkeypatch.setattr(mnist, "FILES", {"http://127.0.0.1:9/train-images-idx3-ubyte.gz": "sha256:00"})
    with pytest.raises(DataError, match=r"could not be downloaded .*Check the network"):
        fetch("mnist", tmp_path)
    assert list((tmp_path / "MNIST" / "raw").iterdir()) == []


def cifar_archive(path: Path, folder: str = "cifar-10-batches-bin") -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name in (*cifar10.BINARY.train, *cifar10.BINARY.test):
            info = tarfile.TarInfo(f"{folder}/{name}")
            info.size = 20 * 3073
            archive.addfile(info, io.BytesIO(bytes(info.size)))


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_archive_is_unpacked_deleted_and_not_fetched_twice(
    tmp_path: Path, site: tuple[str, Path], monkeypatch, algorithm: str
):
    url, folder = site
    cifar_archive(folder / "cifar.tar.gz")
    monkeypatch.setattr(cifar10, "FILES", {f"{url}/cifar.tar.gz": published(folder / "cifar.tar.gz", algorithm)})
    root = tmp_path / "data"
    assert fetch("cifar10", root) == [root]
    assert [path.name for path in root.iterdir()] == ["cifar-10-batches-bin"]
    assert sum(cifar10.build(root).info.split_sizes.values()) == 120
    Quiet.asked.clear()
    assert fetch("cifar10", root) == []
    assert Quiet.asked == []


def test_archive_put_there_by_hand_is_used(tmp_path: Path, site: tuple[str, Path], monkeypatch):
    root = tmp_path / "data"
    root.mkdir()
    cifar_archive(root / "cifar.tar.gz")
    monkeypatch.setattr(cifar10, "FILES", {f"{site[0]}/cifar.tar.gz": published(root / "cifar.tar.gz")})
    fetch("cifar10", root)
    assert Quiet.asked == []
    assert sorted(path.name for path in root.iterdir()) == ["cifar-10-batches-bin", "cifar.tar.gz"]


def test_archive_that_climbs_out(tmp_path: Path, site: tuple[str, Path], monkeypatch):
    url, folder = site
    cifar_archive(folder / "cifar.tar.gz", folder="../outside")
    monkeypatch.setattr(cifar10, "FILES", {f"{url}/cifar.tar.gz": published(folder / "cifar.tar.gz")})
    with pytest.raises(DataError, match="would be written outside the data folder"):
        fetch("cifar10", tmp_path / "data")
    assert not (tmp_path / "outside").exists()
    assert list((tmp_path / "data").iterdir()) == []


def test_data_root_that_cannot_be_made(tmp_path: Path, fake_mnist: dict[str, bytes]):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"cannot be written .*--data-root"):
        fetch("mnist", tmp_path / "file")


def test_licence_forbids(tmp_path: Path):
    with pytest.raises(DataError, match=r"https://image-net\.org"):
        fetch("imagenet", tmp_path)


def test_nothing_to_download(tmp_path: Path):
    assert not hasattr(digits, "FILES")
    assert fetch("digits", tmp_path) == []


@pytest.mark.parametrize("name", ["mnits", "base", "download", "../mnist", ""])
def test_unknown_name(tmp_path: Path, name: str):
    with pytest.raises(ValueError, match=r"Expected a dataset, one of .*cifar10.*, but got") as caught:
        fetch(name, tmp_path)
    assert ("Did you mean mnist?" in str(caught.value)) == (name in ("mnits", "../mnist"))


def test_every_published_source_is_well_formed():
    from cvbench.data import cifar100, fashion_mnist

    for module in (mnist, fashion_mnist, cifar10, cifar100):
        for url, checksum in module.FILES.items():
            assert url.startswith(("https://", "http://fashion-mnist."))
            algorithm, _, digits_ = checksum.partition(":")
            assert (algorithm, len(bytes.fromhex(digits_))) == ("sha256", 32)


def test_real_files_have_the_published_checksums(shared_data: Path):
    for url, checksum in mnist.FILES.items():
        path = shared_data / "MNIST" / "raw" / url.rpartition("/")[2]
        if "train-images" not in path.name:  # the pack holds another gzip wrapper of these
            assert published(path) == checksum
