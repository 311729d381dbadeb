"""The evaluator's version: raised when a metric's numbers change; records of an older one are stale until rescored."""

EVALUATOR_VERSION = 1
