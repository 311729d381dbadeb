"""`cvbench inspect`: kernels, filters, feature maps, and where a classifier looked, as PNG sheets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from cvbench.commands import options
from cvbench.commands.options import Json, Plugins

if TYPE_CHECKING:
    from PIL import Image

app = App(name="inspect", help="Look into images and finished runs.", help_format="plaintext")

Run = Annotated[Path, Parameter(help="Folder of a finished run: STORE/DATASET/MODEL/RUN_ID.")]
ImageFile = Annotated[Path, Parameter(help="Image file.")]
Kernels = Annotated[
    list[str] | None,
    Parameter(
        name="--kernel",
        allow_leading_hyphen=True,
        help='Name, or numbers row by row: "0,-1,0,-1,5,-1,0,-1,0"; may be repeated [default: all named ones].',
    ),
]


@app.command(sort_key=0)
def kernel(
    image: ImageFile,
    /,
    *,
    kernels: Kernels = None,
    out: Annotated[Path | None, Parameter(help="The PNG to write [default: IMAGE_kernels.png].")] = None,
    json: Json = False,
) -> int:
    """An image under kernels: sharpen, edge, blur, emboss, sobel-x, or your own numbers."""
    from cvbench.inspection.kernel_sheet import draw_kernels
    from cvbench.inspection.kernels import KERNELS, find_kernel

    chosen = [find_kernel(text) for text in kernels or ()] or list(KERNELS.values())
    picture, facts = draw_kernels(image, chosen)
    lines = [f"{item['kernel']}: {item['lowest']:.0f} to {item['highest']:.0f}" for item in facts["results"]]
    return _written(picture, out or Path(f"{image.stem}_kernels.png"), facts, lines, json)


@app.command(sort_key=1)
def filters(
    run: Run,
    /,
    *,
    out: Annotated[Path, Parameter(help="The PNG to write.")] = Path("filters.png"),
    plugins: Plugins = False,
    json: Json = False,
) -> int:
    """The filters of a run's first layer, as images."""
    from cvbench.inspection.filters import draw_filters

    picture, facts = draw_filters(run, plugins=plugins)
    line = f"{facts['layer']}: {_shape(facts)}, {len(facts['shown'])} shown"
    return _written(picture, out, facts, [line], json)


@app.command(sort_key=2)
def maps(
    run: Run,
    image: ImageFile,
    /,
    *,
    layers: Annotated[int, Parameter(help="At most so many layers, from the first to the last.")] = 8,
    channels: Annotated[int, Parameter(help="At most so many maps a layer, those that vary most.")] = 8,
    out: Annotated[Path | None, Parameter(help="The PNG to write [default: IMAGE_maps.png].")] = None,
    plugins: Plugins = False,
    json: Json = False,
) -> int:
    """The feature maps of an image, layer by layer."""
    from cvbench.inspection.maps import draw_maps

    picture, facts = draw_maps(run, image, layers=layers, channels=channels, plugins=plugins)
    lines = [f"{item['layer']}, {item['kind']}: {_shape(item)}" for item in facts["layers"]]
    return _written(picture, out or Path(f"{image.stem}_maps.png"), facts, lines, json)


@app.command(sort_key=3)
def gradcam(
    run: Run,
    image: ImageFile,
    /,
    *,
    class_name: Annotated[
        str | None, Parameter(name="--class", help="What to ask for [default: what the model says].")
    ] = None,
    out: Annotated[Path | None, Parameter(help="The PNG to write [default: IMAGE_gradcam.png].")] = None,
    plugins: Plugins = False,
    json: Json = False,
) -> int:
    """Where a classifier looked: Grad-CAM upon the image."""
    from cvbench.inspection.gradcam import draw_gradcam

    picture, facts = draw_gradcam(run, image, class_name, plugins=plugins)
    line = f"{facts['class']} {100 * facts['probability']:.1f} %, by {facts['layer']}: {_shape(facts)}"
    return _written(picture, out or Path(f"{image.stem}_gradcam.png"), facts, [line], json)


def _shape(facts: dict[str, Any]) -> str:
    return " x ".join(map(str, facts["shape"]))


def _written(picture: Image.Image, out: Path, facts: dict[str, Any], lines: list[str], json: bool) -> int:
    """Writes the PNG, and says so below these lines, or in JSON beside the facts."""
    out.parent.mkdir(parents=True, exist_ok=True)
    picture.save(out, format="PNG")
    if json:
        options.print_json({**facts, "out": str(out)})
        return 0
    for line in lines:
        print(line)
    print(f"Wrote {out}")
    return 0
