"""`cvbench doctor`: what this machine has and lacks, before a run finds out."""

from __future__ import annotations

from collections import Counter

from cvbench.commands import options
from cvbench.commands.options import DEFAULT_STORE, Json, MachineOptions, Store

DEFAULT_MACHINE = MachineOptions()


def doctor(*, store: Store = DEFAULT_STORE, on: MachineOptions = DEFAULT_MACHINE, json: Json = False) -> int:
    """Check the installation, devices, data, disks and programs. Exit 1 where something would stop a run."""
    from cvbench.diagnosis.devices import Probe
    from cvbench.diagnosis.disks import disks
    from cvbench.diagnosis.finding import Finding
    from cvbench.diagnosis.installation import installation
    from cvbench.diagnosis.packs import packs
    from cvbench.diagnosis.programs import programs

    machine = on.load()
    probe = Probe()  # imports torch, while the others look
    try:
        found: list[Finding] = [*installation(), *disks(store, machine), *packs(machine.data_root), *programs(machine)]
        found += probe.findings(machine)
    finally:
        probe.close()
    counts = Counter(one.level for one in found)
    if json:
        options.print_json({"ok": not counts["problem"], "findings": [one._asdict() for one in found]})
    else:
        for one in found:
            print(one)
        print(f"{counts['ok']} ok, {counts['warning']} warnings, {counts['problem']} problems")
    return 1 if counts["problem"] else 0
