"""Intervals, tests, ties and ranks from the scores of runs on resamples of their images. Never torch."""
