"""`cvbench submit`: somebody's predictions on a data set's test split, as a record for the boards."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from cvbench.commands import options
from cvbench.commands.options import DEFAULT_STORE, DataRoot, Json, Store


def submit(
    predictions: Annotated[
        Path,
        Parameter(help="CSV id,label[,p_0,p_1…]; COCO results.json (boxes or captions); or a folder of label PNGs."),
    ],
    /,
    *,
    task: Annotated[str, Parameter(help="captioning, classification, detection or segmentation.")],
    dataset: Annotated[str, Parameter(help="What was predicted: `cvbench list datasets`.")],
    name: Annotated[str, Parameter(help="What boards call it, such as 'U-Net, B. Author 2026'.")],
    url: Annotated[str, Parameter(help="Its paper, code or model, http or https.")],
    opts: Annotated[
        tuple[str, ...],
        Parameter(name="--options", consume_multiple=True, help="Options of the dataset as key=value …."),
    ] = (),
    evidence_url: Annotated[
        str | None, Parameter(help="Where you will put evidence.npz for others, https; it stands in the record.")
    ] = None,
    parameters: Annotated[int | None, Parameter(help="Of the model, as you say.")] = None,
    macs: Annotated[int | None, Parameter(help="Multiply-accumulates for an image, as you say.")] = None,
    data_root: DataRoot = None,
    store: Store = DEFAULT_STORE,
    json: Json = False,
) -> int:
    """Score somebody's predictions on a dataset's test split, for a board.

    Samples are named as `cvbench data samples` lists them. CSV rows and label PNGs: by sample id, or by what follows
    its first slash. COCO results: by image_id and category_id. Labels of a CSV: names or indices of classes; of PNGs:
    indices. Writes record.json and evidence.npz into STORE/DATASET/NAME/RUN_ID.
    """
    from cvbench.machine import load_machine
    from cvbench.store import Store as RunStore
    from cvbench.submissions import Offer
    from cvbench.submissions import submit as score

    offer = Offer(predictions, name, url, evidence_url, parameters, macs)
    given = options.key_values(opts, dataset)
    runs = RunStore(store)
    record = score(offer, task, dataset, given, load_machine(data_root=data_root).data_root, runs)
    folder = runs.folder(record.spec)
    if json:
        options.print_json({"folder": folder, "record": record.model_dump(mode="json")})
        return 0
    print(f"{dataset}, {record.samples['test']} samples, {name}")
    width = max(map(len, [*record.metrics, *record.absent_metrics]))
    for metric, value in record.metrics.items():
        print(f"  {metric.removeprefix('test/'):<{width}}  {value:.6f}")
    for metric, reason in record.absent_metrics.items():
        print(f"  {metric:<{width}}  — {reason}")
    print(f"Record: {folder / 'record.json'}")
    return 0
