"""Scores of predictions that were made elsewhere, one file a task: files of truth and predictions, no model, no torch.

`cvbench/scoring/<task>.py` has `score_files(truth, predictions, **options)`: files become the same evidence that a run
saves, and `cvbench.metrics` scores it, one definition of every number. For `cvbench submit` and `cvbench check` it has
`split_truth(dataset)`, the truth of a data set's test split, equal to what a run keeps; and
`read_evidence(predictions, dataset, truth)`, which reads the same predictions with that data set in the place of truth
files. Where the files have a format that a run can be written in, `export_files(evidence, truth, protocol)` writes it,
for `cvbench export`.
"""
