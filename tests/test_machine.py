"""machine.yaml and the options that change it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cvbench.machine import Machine, Retries, load_machine
from cvbench.units import parse_bytes, parse_minutes, parse_seconds
from cvbench.yamlfile import SpecError


def test_without_a_file_the_defaults_and_what_is_given() -> None:
    assert load_machine() == Machine()
    assert load_machine(None, jobs=3, devices=None) == Machine(jobs=3)


def test_the_command_line_beats_the_file(tmp_path: Path) -> None:
    file = tmp_path / "machine.yaml"
    file.write_text("jobs: 2\nthreads: 4\ntracker: tensorboard\ncache_limit_bytes: 1.5GiB\n")
    machine = load_machine(file, threads=1)
    assert (machine.jobs, machine.threads, machine.tracker) == (2, 1, "tensorboard")
    assert machine.cache_limit_bytes == 3 * 2**29


def test_relative_paths_start_at_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    file = tmp_path / "machine.yaml"
    file.write_text("data_root: packs\ncache: ~/decoded\n")
    machine = load_machine(file)
    assert machine.data_root == tmp_path / "packs"
    assert machine.cache == Path("/home/somebody/decoded")
    assert load_machine(file, data_root=Path("here")).data_root == Path("here")


def test_every_mistake_at_once_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "machine.yaml"
    file.write_text("acelerator: cpu\ndevices: 0\n\ncache_limit_bytes: 4GX\naccelerator: gpu\n")
    with pytest.raises(SpecError) as caught:
        load_machine(file, threads=0)
    lines = str(caught.value).splitlines()
    assert any(line.startswith(f"{file}:1: unknown key 'acelerator'; did you mean 'accelerator'?") for line in lines)
    assert f"{file}:2: devices: Expected greater than or equal to 1, but got 0" in lines
    assert any(line.startswith(f"{file}:4: cache_limit_bytes: Expected a size such as 4GiB") for line in lines)
    assert f"{file}:5: accelerator: Expected 'auto', 'cpu', 'cuda' or 'mps', but got 'gpu'" in lines
    assert "--threads: threads: Expected greater than or equal to 1, but got 0" in lines
    assert len(lines) == 5


def test_mistakes_about_clusters_have_their_place_too(tmp_path: Path) -> None:
    file = tmp_path / "machine.yaml"
    slurm = '  partiton: gpu\n  time: 4 hours\n  account: "a\\nb"\n  qos: very long\n'
    file.write_text(f"executor: slurm\nslurm:\n{slurm}ray: 10.0.0.1\n")
    with pytest.raises(SpecError) as caught:
        load_machine(file, executor="salt")
    assert set(str(caught.value).splitlines()) == {
        "--executor: executor: Expected 'local', 'ray' or 'slurm', but got 'salt'",
        f"{file}:3: unknown key 'slurm.partiton'; did you mean 'partition'?",
        f"{file}:4: slurm.time: Expected minutes, H:MM:SS, D-HH:MM or a duration such as 4h, but got '4 hours'",
        f"{file}:5: slurm.account: Expected one word of printable ASCII characters, but got 'a\\nb'",
        f"{file}:6: slurm.qos: Expected one word of printable ASCII characters, but got 'very long'",
        f"{file}:7: ray: Expected a mapping of keys, but got '10.0.0.1'",
    }


@pytest.mark.parametrize(
    ("text", "minutes"),
    # the forms that `man sbatch` names; seconds are left out
    [
        ("90", 90),
        (90, 90),
        ("90:00", 90),
        ("4:00:00", 240),
        ("1-12", 2160),
        ("1-12:30", 2190),
        ("2-00:00:59", 2880),
        ("4h", 240),
        ("90s", 2),
    ],
)
def test_times_as_slurm_writes_them(text: str | int, minutes: int) -> None:
    assert parse_minutes(text) == minutes


@pytest.mark.parametrize("text", ["- 1\n", "just words\n"])
def test_a_file_without_keys_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "machine.yaml").write_text(text)
    with pytest.raises(SpecError, match=r"machine\.yaml:1: Expected keys such as"):
        load_machine(tmp_path / "machine.yaml")


def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "machine.yaml").write_text("# nothing yet\n")
    assert load_machine(tmp_path / "machine.yaml") == Machine()


@pytest.mark.parametrize(
    ("text", "number"),
    [("4GiB", 4 << 30), ("500MB", 500_000_000), ("512M", 512 << 20), ("1.5 kib", 1536), ("77", 77), (12, 12), ("0", 0)],
)
def test_sizes(text: str | int, number: int) -> None:
    assert parse_bytes(text) == number


@pytest.mark.parametrize("text", ["", "many", "4XB", "-1", "4 GiB or so"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(ValueError, match="Expected a size such as 4GiB"):
        parse_bytes(text)


@pytest.mark.parametrize(
    ("machine", "batch", "per_device", "accumulate"),
    [
        ({}, 256, 256, 1),
        ({"devices": 4}, 256, 64, 1),
        ({"devices": 4, "nodes": 2}, 256, 32, 1),
        ({"devices": 4, "nodes": 2, "accumulate": 2}, 256, 16, 2),
        ({"largest_batch_per_device": 100}, 256, 64, 4),  # 128 would be too many, and 3 does not divide 256
        ({"largest_batch_per_device": 100}, 96, 96, 1),
        ({"devices": 2, "largest_batch_per_device": 1}, 8, 1, 4),
        ({"accumulate": 2, "largest_batch_per_device": 100}, 256, 64, 4),
        ({"accumulate": 4, "largest_batch_per_device": 100}, 256, 64, 4),
        ({"devices": 2, "accumulate": 4}, 64, 8, 4),
        ({"devices": 2, "accumulate": 4}, 60, 6, 5),
        ({"accumulate": 3}, 256, 64, 4),  # at least three, and no share is larger than another
    ],
)
def test_a_global_batch_is_divided_evenly(
    machine: dict[str, int], batch: int, per_device: int, accumulate: int
) -> None:
    on = Machine.model_validate(machine)
    assert on.share(batch) == (per_device, accumulate)
    assert on.batch_per_device(batch) * on.world * on.share(batch).accumulate == batch


@pytest.mark.parametrize(
    ("machine", "batch", "told"),
    [
        ({"devices": 2}, 63, "to be a multiple of 2 devices, but got 63"),
        ({"devices": 2, "nodes": 3}, 64, "to be a multiple of 3 nodes x 2 devices, but got 64"),
        ({"devices": 2, "accumulate": 5}, 8, "to be at least 2 devices x 5 accumulated passes, but got 8"),
    ],
)
def test_a_batch_that_cannot_be_divided_is_refused(machine: dict[str, int], batch: int, told: str) -> None:
    with pytest.raises(ValueError, match=r"Expected recipe\.batch_size " + told + "; the global batch size is part of"):
        Machine.model_validate(machine).share(batch)


@pytest.mark.parametrize("rendezvous", ["host", "host:", ":29500", "a b:1", "host:port"])
def test_a_rendezvous_is_a_host_and_a_port(rendezvous: str) -> None:
    assert load_machine(None, rendezvous="node-1.cluster:29500").rendezvous == "node-1.cluster:29500"
    with pytest.raises(SpecError, match=r"--rendezvous: rendezvous: .*but got"):
        load_machine(None, rendezvous=rendezvous)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90.0), ("90s", 90.0), ("5min", 300.0), ("2 h", 7200.0), ("1.5d", 129_600.0), (7, 7.0), (0.5, 0.5)],
)
def test_durations(text: str | float, seconds: float) -> None:
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "5m", "-1s", "two hours", "1h30min"])
def test_durations_that_say_nothing(text: str) -> None:
    with pytest.raises(ValueError, match="Expected a duration such as 90s, 5min, 2h or a number of seconds"):
        parse_seconds(text)


def test_what_is_tried_again_and_when_checkpoints_are_written(tmp_path: Path) -> None:
    file = tmp_path / "machine.yaml"
    file.write_text("checkpoint_every: 10min\ntime_limit: 2h\nretries: {killed: 3}\n")
    machine = load_machine(file, checkpoint_every="30s")
    assert (machine.checkpoint_every, machine.time_limit) == (30.0, 7200.0)
    assert machine.retries == Retries(killed=3, out_of_memory=1, time_limit=0)
    file.write_text("time_limit: 0\nretries:\n  killd: 3\n")
    with pytest.raises(SpecError) as caught:
        load_machine(file)
    assert f"{file}:1: time_limit: Expected greater than 0, but got 0" in str(caught.value)
    assert f"{file}:3: unknown key 'retries.killd'; did you mean 'killed'?" in str(caught.value)
