"""Scores of predictions that were made elsewhere, one file a task: files of truth and predictions, no model, no torch.

`cvbench/scoring/<task>.py` has `score_files(truth, predictions, **options)`: files become the same evidence that a run
saves, and `cvbench.metrics` scores it, one definition of every number. Where the files have a format that a run can be
written in, `export_files(evidence, truth, protocol)` beside it writes it, for `cvbench export`.
"""
