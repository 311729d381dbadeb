"""Python and packages: what is required is there, in a version that fits; what is optional; what must not be there."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator
from importlib import metadata

from packaging.requirements import Requirement
from packaging.version import Version

from cvbench.diagnosis.finding import Finding

# (package, version) that must never be installed -> why
KNOWN_BAD = {("lightning", version): "a malicious release (GHSA-w37p-236h-pfx3)" for version in ("2.6.2", "2.6.3")}
PACKAGE = "cvbench"
_FOR_DEVELOPERS = "dev"


def installation() -> Iterator[Finding]:
    """The required packages in one line where all is well, the extras a line each."""
    try:
        declared = metadata.requires(PACKAGE) or []
        asked = metadata.metadata(PACKAGE)["Requires-Python"]
        extras = metadata.metadata(PACKAGE).get_all("Provides-Extra") or []
    except metadata.PackageNotFoundError:
        yield Finding("warning", "installation", "cvbench is used without being installed, so that what it requires is "
                      "not known", "pip install -e . in its checkout")  # fmt: skip
        return
    fits = Requirement(f"python{asked}").specifier.contains(platform.python_version(), prereleases=True)
    yield (
        Finding("ok", "python", platform.python_version())
        if fits
        else Finding("problem", "python", f"{platform.python_version()} does not fit {asked}", f"use Python {asked}")
    )
    requirements = [Requirement(text) for text in declared]
    wrong = [*_bad(), *_misfits(_of(requirements, ""))]
    yield from wrong
    if not wrong:
        yield Finding("ok", "packages", f"{len(list(_of(requirements, '')))} required ones fit")
    for extra in extras:
        if extra != _FOR_DEVELOPERS:
            yield _extra(extra, list(_of(requirements, extra)))


def _of(requirements: Iterable[Requirement], extra: str) -> Iterator[Requirement]:
    """Those of an extra; of none: those that are always required."""
    for one in requirements:
        always = one.marker is None or one.marker.evaluate({"extra": ""})
        if always if not extra else not always and one.marker is not None and one.marker.evaluate({"extra": extra}):
            yield one


def _bad() -> Iterator[Finding]:
    for (package, version), why in KNOWN_BAD.items():
        if _installed(package) == Version(version):
            yield Finding("problem", package, f"{version} is {why}", "uninstall it, and change every password and key "
                          f"that this machine knew; then pip install -U {package}")  # fmt: skip


def _misfits(requirements: Iterable[Requirement]) -> Iterator[Finding]:
    for one in requirements:
        found = _installed(one.name)
        if found is None:
            yield Finding("problem", one.name, "not installed", f"pip install '{one.name}{one.specifier}'")
        elif not one.specifier.contains(found, prereleases=True):
            rule = f"{found} is installed, which does not fit {one.specifier}"
            yield Finding("problem", one.name, rule, f"pip install '{one.name}{one.specifier}'")


def _extra(name: str, requirements: list[Requirement]) -> Finding:
    missing = [one.name for one in requirements if _installed(one.name) is None]
    if missing:
        remedy = f"if you need it: pip install '{PACKAGE}[{name}]'"
        return Finding("ok", f"extra {name}", f"not installed ({', '.join(missing)})", remedy)
    wrong = list(_misfits(requirements))
    if wrong:
        return Finding("warning", f"extra {name}", f"{wrong[0].subject} {wrong[0].message}", wrong[0].remedy)
    return Finding("ok", f"extra {name}", "installed")


def _installed(package: str) -> Version | None:
    try:
        return Version(metadata.version(package))
    except metadata.PackageNotFoundError:
        return None
