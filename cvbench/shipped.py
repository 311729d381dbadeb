"""Benchmark files: where they lie, here and in the package, and what each says it is."""

from __future__ import annotations

from pathlib import Path

from cvbench.entry import Entry

PACKAGE = Path(__file__).parent


def benchmark_folders() -> list[Path]:
    """Where named suites lie: `benchmarks/` here, then beside the package (a checkout), then inside it (a wheel)."""
    folders = [Path("benchmarks"), PACKAGE / "benchmarks"]
    if (PACKAGE.parent / "pyproject.toml").is_file():  # else it is site-packages, where others may have such a folder
        folders.insert(1, PACKAGE.parent / "benchmarks")
    seen: dict[Path, Path] = {}
    for folder in folders:
        if folder.is_dir():
            seen.setdefault(folder.resolve(), folder)
    return list(seen.values())


def benchmark_files(folder: Path) -> list[Path]:
    """The YAML files below a folder, in order; what is hidden and the specs of finished runs are none."""
    found = [path for ending in ("yaml", "yml") for path in folder.glob(f"**/*.{ending}")]
    return sorted(
        path
        for path in found
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and not (path.name == "spec.yaml" and (path.parent / "record.json").exists())
    )


def benchmark_entries() -> list[Entry]:
    """Every benchmark that can be named: `quick/segmentation`, its title and task; a broken file says so."""
    from cvbench.yamlfile import SpecError, read_yaml

    found: dict[str, Entry] = {}
    for folder in benchmark_folders():
        for file in benchmark_files(folder):
            name = file.relative_to(folder).with_suffix("").as_posix()
            try:
                data = read_yaml(file).data
            except SpecError as error:
                found.setdefault(name, Entry("benchmarks", name, file, "", f"cannot be read: {error.problems[0]}"))
                continue
            if isinstance(data, dict):
                summary = str(data.get("title") or "")
                tasks = (data["task"],) if isinstance(data.get("task"), str) else ()
                found.setdefault(name, Entry("benchmarks", name, file, "", summary, tasks=tasks))
    return list(found.values())
