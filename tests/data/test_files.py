from __future__ import annotations

import contextlib
import importlib
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cvbench.data.base import DataError
from cvbench.data.files import image_header, image_names, list_folders, list_images, need, read_image, read_mask, sha256
from cvbench.data.mask_files import image_size

GRADIENT = np.arange(6 * 4 * 3, dtype=np.uint8).reshape(6, 4, 3)


def saved(path: Path, pixels: np.ndarray, mode: str | None = None) -> Path:
    image = Image.fromarray(pixels)
    (image if mode is None else image.convert(mode)).save(path)
    return path


def test_rgb_comes_back_as_written(tmp_path: Path):
    image = read_image(saved(tmp_path / "a.png", GRADIENT))
    assert image.dtype == np.uint8
    assert (image == GRADIENT).all()


def test_grey_in_both_modes(tmp_path: Path):
    path = saved(tmp_path / "a.png", GRADIENT[..., 0])
    assert read_image(path, "L").shape == (6, 4, 1)
    assert (read_image(path) == GRADIENT[..., :1]).all()
    assert read_image(path).shape == (6, 4, 3)


def test_transparency_is_dropped_and_no_warning_given(tmp_path: Path):
    rgba = np.dstack([GRADIENT, np.zeros((6, 4), np.uint8)])
    assert (read_image(saved(tmp_path / "a.png", rgba)) == GRADIENT).all()
    palette = Image.fromarray(GRADIENT[..., 0]).convert("P")
    palette.save(tmp_path / "p.png", transparency=bytes(range(200)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (read_image(tmp_path / "p.png") == GRADIENT[..., :1]).all()


def test_16_bit_grey_keeps_its_upper_byte(tmp_path: Path):
    saved(tmp_path / "a.png", np.array([[0, 255, 256, 65535]], np.uint16))
    assert read_image(tmp_path / "a.png", "L")[0, :, 0].tolist() == [0, 0, 1, 255]


def test_32_bit_pixels_are_refused(tmp_path: Path):
    saved(tmp_path / "a.tif", np.zeros((2, 2), np.float32))
    with pytest.raises(DataError, match=r"a\.tif: expected 8 or 16 bits"):
        read_image(tmp_path / "a.tif")


def test_exif_orientation_is_not_applied(tmp_path: Path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    Image.fromarray(GRADIENT).save(tmp_path / "a.png", exif=exif)
    assert read_image(tmp_path / "a.png").shape == (6, 4, 3)


def test_palette_mask_gives_indices(tmp_path: Path):
    indices = np.array([[0, 1], [11, 255]], np.uint8)
    image = Image.frombytes("P", (2, 2), indices.tobytes())
    image.putpalette([value for index in range(256) for value in (255 - index, index // 2, 7)])
    image.save(tmp_path / "m.png")
    mask = read_mask(tmp_path / "m.png")
    assert mask.dtype == np.uint8
    assert (mask == indices).all()


def test_16_bit_and_1_bit_masks(tmp_path: Path):
    assert read_mask(saved(tmp_path / "a.png", np.array([[0, 300]], np.uint16))).tolist() == [[0, 300]]
    assert read_mask(saved(tmp_path / "b.png", np.array([[0, 255]], np.uint8), "1")).tolist() == [[0, 1]]


def test_colour_mask_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match=r"a\.png: expected a mask with one channel.*mode RGB"):
        read_mask(saved(tmp_path / "a.png", GRADIENT))


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif", "webp"])
@pytest.mark.parametrize("read", [read_image, read_mask])
def test_truncated_image_is_named(tmp_path: Path, suffix: str, read):
    path = tmp_path / f"a.{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    saved(path, noise)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=rf"a\.{suffix}: cannot be decoded.*copy it again"):
        read(path)


def test_every_truncation_and_many_damages_give_a_data_error_or_an_image(tmp_path: Path):
    path = saved(tmp_path / "a.png", GRADIENT)
    whole = path.read_bytes()
    random = np.random.default_rng(0)
    for end in range(0, len(whole) - 24, 3):  # the last bytes are check sums and the end mark, no pixels
        path.write_bytes(whole[:end])
        with pytest.raises(DataError):
            read_image(path)
    for _ in range(200):
        damaged = bytearray(whole)
        damaged[random.integers(len(whole))] ^= 1 << int(random.integers(8))
        path.write_bytes(damaged)
        with contextlib.suppress(DataError):  # and nothing else
            read_image(path)


def test_missing_file(tmp_path: Path):
    with pytest.raises(DataError, match=r"none\.png: no such file"):
        read_image(tmp_path / "none.png")


def test_formats_outside_the_list_are_refused_whatever_the_name(tmp_path: Path):
    # PostScript is the one that matters (Pillow hands it to Ghostscript), PCX the one that Pillow reads by itself.
    Image.fromarray(GRADIENT).save(tmp_path / "a.png", format="PCX")
    with pytest.raises(DataError, match="no image"):
        read_image(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n")
    with pytest.raises(DataError, match="no image"):
        read_image(tmp_path / "a.png")


def test_header_is_read_without_the_pixels(tmp_path: Path):
    path = saved(tmp_path / "a.png", GRADIENT)
    path.write_bytes(path.read_bytes()[:45])  # signature and IHDR (33 bytes), and no more than a chunk's beginning
    assert image_header(path) == ((6, 4), "RGB")


def test_headers_of_what_is_no_image(tmp_path: Path):
    Image.fromarray(GRADIENT).save(tmp_path / "pcx.png", format="PCX")
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n")
    saved(tmp_path / "cut.png", GRADIENT).write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    for name in ("pcx.png", "a.png", "cut.png"):
        for read in (image_header, image_size):
            with pytest.raises(DataError, match=rf"{name}: cannot be decoded"):
                read(tmp_path / name)


def test_decompression_bomb(tmp_path: Path):
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    png = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )
    (tmp_path / "a.png").write_bytes(png)
    for read in (read_image, image_header):
        with pytest.raises(DataError, match=r"a\.png: too large to decode safely"):
            read(tmp_path / "a.png")


def test_listing_is_natural_and_keeps_images_only(tmp_path: Path):
    for name in ("img10.PNG", "img2.jpg", "img1.jpeg", ".img3.png", "._img2.jpg", "notes.txt", "b.webp"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in list_images(tmp_path)] == ["b.webp", "img1.jpeg", "img2.jpg", "img10.PNG"]
    assert sorted(image_names(tmp_path)) == ["b.webp", "img1.jpeg", "img10.PNG", "img2.jpg"]
    assert list_folders(tmp_path) == ["folder.png"]


@pytest.mark.parametrize("listing", [list_images, list_folders])
def test_listing_what_is_no_folder(tmp_path: Path, listing):
    (tmp_path / "file").touch()
    for name in ("none", "file"):
        with pytest.raises(DataError, match=rf"at .*{name}, but there is none"):
            listing(tmp_path / name)


def test_need_returns_what_exists(tmp_path: Path):
    assert need(tmp_path, "mnist", "Fetch it.") == tmp_path


def test_need_says_what_where_and_how(tmp_path: Path):
    (tmp_path / "CamVid").mkdir()
    (tmp_path / "MNIST").mkdir()
    with pytest.raises(DataError) as caught:
        need(tmp_path / "camvid" / "train.txt", "camvid", "Put it there by hand.")
    message = str(caught.value)
    assert f"expected {tmp_path / 'camvid' / 'train.txt'}, but {tmp_path} holds CamVid, MNIST." in message
    assert "Did you mean CamVid? Put it there by hand." in message
    assert "CVBENCH_DATA" in message


def test_need_where_not_even_the_root_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.txt").touch()
    rule = r"mnist is not there: the data root {} does not exist \(set --data-root or CVBENCH_DATA\)\. Fetch it\."
    for root, shown in ((Path("data"), r"\./data"), (tmp_path / "data", str(tmp_path / "data"))):
        with pytest.raises(DataError, match=rule.format(shown)) as caught:
            need(root / "MNIST" / "raw", "mnist", "Fetch it.", root=root)
        assert "secret" not in str(caught.value)


def test_need_of_a_path_that_is_not_below_the_root(tmp_path: Path):
    with pytest.raises(DataError, match=rf"but {tmp_path} holds nothing"):
        need(tmp_path / "pets", "folder", "Set `path`.", root=Path("no_such_root"))


@pytest.mark.parametrize(
    "name",
    [
        "camvid",
        "cifar10",
        "cifar100",
        "cityscapes",
        "fashion_mnist",
        "folder",
        "folder_masks",
        "imagenet",
        "mnist",
        "places365",
        "voc_seg",
    ],
)
def test_every_dataset_says_that_the_root_is_not_there(tmp_path: Path, name: str):
    options = {"path": "pets"} if name.startswith("folder") else {}
    with pytest.raises(DataError, match=f"the data root {tmp_path / 'none'} does not exist"):
        importlib.import_module(f"cvbench.data.{name}").build(tmp_path / "none", **options)


def test_sha256(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"abc")
    # NIST's example
    assert sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
