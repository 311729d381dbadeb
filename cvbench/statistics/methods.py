"""What a board says of how its numbers were made, a sentence each; the functions named have the details."""

from __future__ import annotations

METHODS = {
    # interval.interval
    "interval": "95 % interval: variance of the images by the bootstrap, the metric computed anew on each of 1,000 "
    "resamples (Efron & Tibshirani 1993), plus s²/n over seeds, less what is in both; Student's t with Satterthwaite's "
    "(1946) degrees of freedom; the end on the side of a bias further out; where all images agree, that of the exact "
    "binomial (Clopper & Pearson 1934)",
    # comparison.compare
    "difference": "paired over the same images, same variance, Student's t (Bouthillier et al. 2021)",
    # comparison.probability_better
    "probability_better": "share of pairs of runs, on equal resamples, in which A is better (Bouthillier et al. 2021)",
    # comparison.mcnemar
    "mcnemar": "exact test of two single runs (McNemar 1947)",
    # ranking.tie_groups
    "rank": "dense; a row shares the rank of its group's best unless the paired test, level 0.05, separates them, "
    "corrected for the comparisons with that best (Holm 1979)",
    "rank_interval": "95 %, from the tests against every other row, corrected likewise (Mogstad et al. 2024)",
    # cvbench.pareto.front
    "front": "Pareto front of mean score against a cost: no other row is both better and cheaper",
    # cvbench.metrics.calibration.reliability
    "calibration": "test samples of all seeds in 15 bins of equal width by the probability of the surest class (Guo et "
    "al. 2017)",
    # suite_score.suite_scores
    "suite_score": "1 + (best mean - mean) / pooled bootstrap sd of a run, averaged over datasets (after EuroEval)",
}
