"""`inspect kernel`: named kernels are the published ones, results are what a convolutional layer computes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from cvbench.cli import main
from cvbench.data import shading
from cvbench.inspection.kernel_sheet import applied, draw_kernels
from cvbench.inspection.kernels import KERNELS, correlate, find_kernel

REPOSITORY = Path(__file__).resolve().parents[1]


@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    side=st.sampled_from([1, 3, 5, 7]),
    channels=st.sampled_from([None, 1, 3]),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_it_is_what_a_convolutional_layer_computes(
    height: int, width: int, side: int, channels: int | None, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    image = generator.normal(size=(height, width) if channels is None else (height, width, channels))
    weights = generator.normal(size=(side, side))
    planes = torch.from_numpy(image.reshape(height, width, -1)).permute(2, 0, 1)[:, None]
    expected = torch.nn.functional.conv2d(planes, torch.from_numpy(weights)[None, None], padding=side // 2)
    assert correlate(image, weights) == pytest.approx(expected[:, 0].permute(1, 2, 0).numpy().reshape(image.shape))


def test_named_kernels_are_those_of_scipy() -> None:
    image = np.random.default_rng(0).normal(size=(20, 30))
    blurred = ndimage.uniform_filter(image, 3, mode="constant")
    smooth = ndimage.correlate1d(ndimage.correlate1d(image, [0.25, 0.5, 0.25], 0, mode="constant"),
                                 [0.25, 0.5, 0.25], 1, mode="constant")  # fmt: skip
    expected = {
        "sobel-x": ndimage.sobel(image, axis=1, mode="constant"),
        "sobel-y": ndimage.sobel(image, axis=0, mode="constant"),
        "edge": -ndimage.laplace(image, mode="constant"),
        "sharpen": image - ndimage.laplace(image, mode="constant"),
        "strong-edge": 9 * (image - blurred),
        "blur": blurred,
        "gaussian": smooth,
    }
    for name, values in expected.items():
        assert correlate(image, KERNELS[name].weights) == pytest.approx(values), name
    assert set(KERNELS) == {*expected, "emboss"}


def test_a_step_by_hand() -> None:
    """Dark left, bright right: sobel-x is 4 times the step on both sides of it, emboss brightens, sobel-y is blind."""
    image = np.zeros((5, 6))
    image[:, 3:] = 10
    assert correlate(image, KERNELS["sobel-x"].weights)[2].tolist() == [0, 0, 40, 40, 0, -40]  # 0 beyond the border
    assert correlate(image, KERNELS["sobel-y"].weights)[2].tolist() == [0, 0, 0, 0, 0, 0]
    assert correlate(image, KERNELS["emboss"].weights)[2].tolist() == [0, 0, 30, 40, 10, -20]


def test_numbers_are_read_row_by_row() -> None:
    assert find_kernel("0,-1,0,-1,5,-1,0,-1,0").weights.tolist() == KERNELS["sharpen"].weights.tolist()
    assert find_kernel(" 1/2, -.5,1e-1, 0,0,0, 0,0,0 ").weights[0] == pytest.approx([0.5, -0.5, 0.1])
    assert find_kernel("2").weights.tolist() == [[2.0]]
    assert find_kernel("edge") is KERNELS["edge"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2,3,4", "k x k numbers with k odd.*but got 4"),
        ("1,2,3", "k x k numbers with k odd.*but got 3"),
        (",".join(["1"] * 17**2), "at most 225.*but got 289"),
        ("1,2,x,4,5,6,7,8,9", "but got 'x'"),
        ("1,2,,4,5,6,7,8,9", "but got ''"),
        ("1,2,nan,4,5,6,7,8,9", "but got 'nan'"),
        ("1,2,1/0,4,5,6,7,8,9", "but got '1/0'"),
        ("1e999", "but got '1e999'"),
        ("shrapen", "did you mean 'sharpen'"),
        ("", "Expected a kernel of sharpen, edge"),
    ],
)
def test_wrong_kernels_are_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        find_kernel(text)


def test_differences_are_taken_of_grey_and_images_of_colours() -> None:
    red = np.zeros((3, 3, 3), np.uint8)
    red[..., 0] = 200
    # On uniform red: the mean of all nine pixels in the middle, of four of nine in a corner; grey is 0.299 of it.
    assert applied(red, KERNELS["blur"])[1, 1].tolist() == pytest.approx([200, 0, 0])
    assert applied(red, KERNELS["blur"])[0, 0].tolist() == pytest.approx([200 * 4 / 9, 0, 0])
    edges = applied(red, KERNELS["edge"])
    assert edges.shape == (3, 3)
    assert edges[1, 1] == pytest.approx(0)
    assert edges[0, 0] == pytest.approx(2 * 0.299 * 200)  # two neighbours outside the image
    assert applied(red, find_kernel("0,0,0,0,-1,0,0,0,0"))[1, 1] == pytest.approx(-0.299 * 200)


def test_shades_by_hand() -> None:
    assert shading.between(np.array([0.0, 1.0, 2.0]), 0, 2).tolist() == [0, 128, 255]
    assert shading.between(np.array([3.0]), 3, 3).tolist() == [128]
    assert shading.about_zero(np.array([-1.0, 0.0, 4.0])).tolist() == [96, 128, 255]  # 127.5 * (1 - 1/4) = 95.6
    colours = shading.signed(np.array([[0.0, 255.0, -255.0, 510.0]]), 255)[0]
    assert colours.tolist() == [[0, 0, 0], [*shading.ABOVE], [*shading.BELOW], [*shading.ABOVE]]
    ramp = shading.heat(np.linspace(0, 1, 50)[None])[0].astype(int) @ [299, 587, 114]
    assert (np.diff(ramp) > 0).all()  # brighter all the way, so that it reads in grey too


def test_the_sheet_and_its_facts(tmp_path: Path) -> None:
    pixels = np.zeros((10, 20), np.uint8)
    pixels[:, 10:] = 100
    Image.fromarray(pixels).save(tmp_path / "step.png")
    picture, facts = draw_kernels(tmp_path / "step.png", [KERNELS["sobel-x"], KERNELS["blur"]])
    sobel, blur = facts["results"]
    assert (sobel["kernel"], sobel["lowest"], sobel["highest"]) == ("sobel-x", pytest.approx(-400), pytest.approx(400))
    assert (blur["lowest"], blur["highest"]) == (pytest.approx(0), pytest.approx(100))
    assert blur["weights"] == [[1 / 9] * 3] * 3
    assert facts["size"] == [10, 20]
    # The first tile lies at (8, below the title): the image itself, each pixel a square of 20.
    drawn = np.asarray(picture)
    top = next(row for row in range(60) if (drawn[row, 8:400] == 0).all(axis=1)[:150].all())
    assert drawn[top + 5, 8 + 5].tolist() == [0, 0, 0]
    assert drawn[top + 5, 8 + 10 * 20 + 5].tolist() == [100, 100, 100]
    # In the second, the step is orange on both sides and the border, where outside is 0, is blue.
    second = 8 + 400 + 8
    assert drawn[top + 105, second + 10 * 20 + 5].tolist() == [*shading.ABOVE]
    assert drawn[top + 105, second + 399].tolist() == [*shading.BELOW]
    assert drawn[top + 105, second + 5].tolist() == [0, 0, 0]


def test_a_large_image_shrinks_first(tmp_path: Path) -> None:
    Image.new("RGB", (1200, 800), (10, 200, 30)).save(tmp_path / "large.png")
    assert draw_kernels(tmp_path / "large.png", [KERNELS["edge"]])[1]["size"] == [267, 400]


def test_the_verb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (8, 8), (10, 200, 30)).save("one.png")
    assert main(["inspect", "kernel", "one.png"]) == 0
    told = capfd.readouterr().out
    assert [line.split(":")[0] for line in told.splitlines()[:-1]] == list(KERNELS)
    assert told.endswith("Wrote one_kernels.png\n")
    line = ["inspect", "kernel", "--kernel", "-1,0,1,-2,0,2,-1,0,1", "--kernel", "blur", "one.png"]
    assert main([*line, "--out", "new/sheet", "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert [item["kernel"] for item in found["results"]] == ["your own", "blur"]
    assert found["out"] == "new/sheet"
    assert Path("new/sheet").read_bytes().startswith(b"\x89PNG")
    for wrong, message in {"--kernel=1,2": "k odd", "nowhere.png": "nowhere.png"}.items():
        arguments = ["inspect", "kernel", *(["one.png", wrong] if wrong.startswith("--") else [wrong])]
        assert main(arguments) == 2
        assert message in capfd.readouterr().err


def test_kernels_need_no_torch(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "one.png")
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from cvbench.cli import main; main(['inspect', 'kernel', 'one.png']); "
         "print({'torch', 'scipy', 'pandas'} & sys.modules.keys())"],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True, timeout=120, cwd=tmp_path,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1:] == ["set()"], done.stderr
