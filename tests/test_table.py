"""The metrics table against values worked out by hand."""

from __future__ import annotations

import math
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from cvbench.record import Costs
from cvbench.spec import DatasetRef
from cvbench.table import by_run, groups, metrics_table, protocol_hash
from tests.records import facts, plan, record, spec


def test_mean_and_sd_over_three_seeds():
    runs = plan()
    table = metrics_table(runs, [record(run, value) for run, value in zip(runs, (0.90, 0.92, 0.97), strict=True)])
    (row,) = table.to_dict("records")
    assert row["mean"] == pytest.approx(0.93)  # 2.79 / 3
    assert row["sd"] == pytest.approx(0.0360555, abs=1e-7)  # sqrt((.03² + .01² + .04²) / 2)
    assert (row["n"], row["planned"], row["missing"], row["failed"], row["state"]) == (3, 3, 0, 0, "3 of 3")
    assert (row["model"], row["primary"], row["group_id"]) == ("lenet", "top1", runs[0].group_id)


def test_the_order_of_records_does_not_change_a_bit():
    runs = plan(seeds=range(5))
    records = [record(run, 0.1 * (run.seed + 1)) for run in runs]
    assert metrics_table(runs, records).equals(metrics_table(runs, records[::-1]))


def test_failed_and_missing_runs_are_shown_and_never_count_as_zero():
    runs = plan(seeds=(0, 1, 2, 3))
    table = metrics_table(runs, [record(runs[0], 0.8), record(runs[2], 0.6)], {runs[1].run_id: "nan at step 3"})
    (row,) = table.to_dict("records")
    assert row["mean"] == pytest.approx(0.7)
    assert row["sd"] == pytest.approx(math.sqrt(0.02))
    assert (row["n"], row["planned"], row["missing"], row["failed"]) == (2, 4, 1, 1)
    assert row["state"] == "2 of 4, 1 failed, 1 missing"


def test_one_seed_has_no_sd():
    runs = plan(seeds=(0,))
    (row,) = metrics_table(runs, [record(runs[0], 0.8)]).to_dict("records")
    assert row["mean"] == 0.8
    assert math.isnan(row["sd"])
    assert row["state"] == "1 of 1"


def test_a_model_without_any_record_is_a_row_without_numbers():
    runs = plan(("lenet", "mlp"))
    table = metrics_table(runs, [record(run, 0.9) for run in runs[:3]])
    row = table.to_dict("records")[1]
    assert row["model"] == "mlp"
    assert math.isnan(row["mean"])
    assert (row["n"], row["missing"], row["state"]) == (0, 3, "0 of 3, 3 missing")


def test_an_empty_store_gives_rows_all_the_same():
    assert list(metrics_table(plan(("lenet", "mlp")), [])["n"]) == [0, 0]


def test_other_metrics_are_averaged_over_the_same_seeds_or_not_at_all():
    runs = plan(seeds=(0, 1))
    records = [record(runs[0], 0.8, others={"nll": 0.4, "ece": 0.1}), record(runs[1], 0.8, others={"nll": 0.6})]
    (row,) = metrics_table(runs, records).to_dict("records")
    assert row["nll_mean"] == pytest.approx(0.5)
    assert row["nll_sd"] == pytest.approx(0.1414214, abs=1e-7)
    assert math.isnan(row["ece_mean"])


def test_costs_are_means_over_seeds_or_unknown():
    runs = plan(seeds=(0, 1))
    costs = [
        Costs(parameters=10, train_seconds=3.0, peak_memory_bytes=5),
        Costs(parameters=10, train_seconds=6.0, peak_memory_bytes=None),
    ]
    (row,) = metrics_table(runs, [record(run, 0.9, costs=cost) for run, cost in zip(runs, costs, strict=True)]).to_dict(
        "records"
    )
    assert (row["parameters"], row["train_seconds"], row["peak_memory_bytes"]) == (10, 4.5, None)


def test_records_of_runs_that_were_not_planned_are_left_alone():
    other = spec("mlp", 7)
    runs = plan(seeds=(0,))
    table = metrics_table(runs, [record(runs[0], 0.9), record(other, 0.1, dataset=facts(revision="bbbbbbbbbbbb"))])
    assert list(table["mean"]) == [0.9]


def test_without_a_word_from_disk_the_newest_record_tells_the_revision():
    runs = plan()
    late = datetime(2025, 6, 1, tzinfo=UTC)
    records = [record(run, 0.9) for run in runs[:2]]
    records.append(record(runs[2], 0.5, dataset=facts(revision="bbbbbbbbbbbb"), started_at=late))
    (row,) = metrics_table(runs, records).to_dict("records")
    assert (row["mean"], row["n"], row["outdated"], row["revision"]) == (0.5, 1, 2, "bbbbbbbbbbbb")
    assert row["state"] == "1 of 3, 2 outdated"


def test_the_revision_on_disk_decides_where_it_is_known():
    runs = plan()
    late = datetime(2025, 6, 1, tzinfo=UTC)
    records = [record(run, 0.9) for run in runs[:2]]
    records.append(record(runs[2], 0.5, dataset=facts(revision="bbbbbbbbbbbb"), started_at=late))
    (group,) = groups(runs, records, revisions={run.run_id: "aaaaaaaaaaaa" for run in runs})
    assert group.primary.n == 2
    assert group.runs[2].state == "outdated"
    assert "bbbbbbbbbbbb" in group.runs[2].reason
    assert "aaaaaaaaaaaa" in group.runs[2].reason
    (group,) = groups(runs, records, revisions={run.run_id: "cccccccccccc" for run in runs})
    assert [run.state for run in group.runs] == ["outdated"] * 3


def test_one_dataset_has_one_revision_over_all_models():
    runs = plan(("lenet", "mlp"), seeds=(0,))
    late = datetime(2025, 6, 1, tzinfo=UTC)
    records = [record(runs[0], 0.9), record(runs[1], 0.8, dataset=facts(revision="bbbbbbbbbbbb"), started_at=late)]
    assert list(metrics_table(runs, records)["state"]) == ["0 of 1, 1 outdated", "1 of 1"]


def test_mixed_protocols_never_meet_in_one_mean():
    runs = plan(seeds=(0, 1))
    theirs = facts(protocol={"classes": 2, "scoring_size": "halved"})
    (row,) = metrics_table(runs, [record(runs[0], 0.1, dataset=theirs), record(runs[1], 0.9)]).to_dict("records")
    assert (row["mean"], row["n"], row["outdated"]) == (0.9, 1, 1)
    assert row["protocol"] == protocol_hash(facts().protocol) != protocol_hash(theirs.protocol)


def test_protocols_are_equal_whatever_the_order_of_their_keys():
    assert protocol_hash({"a": 1, "b": {"c": 2, "d": 3}}) == protocol_hash({"b": {"d": 3, "c": 2}, "a": 1})


def test_another_evaluator_is_stale_and_named():
    runs = plan(seeds=(0, 1))
    (group,) = groups(runs, [record(runs[0], 0.1, evaluator_version=0), record(runs[1], 0.9)])
    assert [run.state for run in group.runs] == ["stale", "done"]
    assert group.primary.mean == 0.9
    assert group.runs[0].reason == "scored by evaluator 0; this is 1"


def test_a_failed_repetition_of_an_outdated_run_is_a_failure():
    runs = plan(seeds=(0,))
    revisions = {runs[0].run_id: "cccccccccccc"}
    (group,) = groups(runs, [record(runs[0], 0.9)], {runs[0].run_id: "no space"}, revisions)
    assert (group.runs[0].state, group.runs[0].reason) == ("failed", "no space")


def test_a_record_outweighs_an_old_failure():
    runs = plan(seeds=(0,))
    assert groups(runs, [record(runs[0], 0.9)], {runs[0].run_id: "no space"})[0].state == "1 of 1"


def test_equal_records_count_once_and_unlike_ones_of_one_run_are_refused():
    runs = plan(seeds=(0,))
    twice = [record(runs[0], 0.9), record(runs[0], 0.9)]
    assert metrics_table(runs, twice)["n"][0] == 1
    with pytest.raises(ValueError, match=f"Expected one record of run {runs[0].run_id}"):
        metrics_table(runs, [record(runs[0], 0.9), record(runs[0], 0.8)])


def test_a_record_without_its_primary_metric_is_refused_by_name():
    runs = plan(seeds=(0,))
    broken = record(runs[0], 0.9).model_copy(update={"metrics": {"test/top5": 1.0}})
    with pytest.raises(ValueError, match=rf"{runs[0].run_id}.*test/top1.*test/top5"):
        metrics_table(runs, [broken])


def test_benchmarks_datasets_options_and_labels_make_rows_of_their_own():
    eleven = DatasetRef(name="camvid", options={"classes": 11}, version=1)
    twelve = DatasetRef(name="camvid", options={"classes": 12}, version=1)
    runs = [
        *plan(seeds=(0,), dataset=eleven),
        *plan(seeds=(0,), dataset=twelve),
        *plan(seeds=(0,), dataset=eleven, benchmark="other"),
        *plan(seeds=(0,), dataset=eleven, label="mine"),
    ]
    table = metrics_table(runs, [record(runs[0], 0.9)])
    assert list(table["n"]) == [1, 0, 1, 1]  # the last two are the same run under another name
    assert list(table["dataset_options"]) == ['{"classes":11}', '{"classes":12}', '{"classes":11}', '{"classes":11}']


def test_tables_and_boards_never_import_torch():
    code = (
        "import sys\n"
        "from cvbench.leaderboard import rank\nfrom cvbench.page import files, terminal\n"
        "from cvbench.table import metrics_table\nfrom tests.records import plan, suite\n"
        "metrics_table(plan(), [])\nfor r in files.RENDERERS.values(): r(rank(suite(), plan(), []))\n"
        "print({'torch', 'lightning', 'torchvision'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_a_record_that_is_there_twice_counts_once():
    run = plan(seeds=(0,))[0]
    assert by_run([record(run, 0.9), record(run, 0.9)]) == {run.run_id: record(run, 0.9)}
    assert by_run([]) == {}
    with pytest.raises(ValueError, match=f"Expected one record of run {run.run_id}"):
        by_run([record(run, 0.9), record(run, 0.8)])
