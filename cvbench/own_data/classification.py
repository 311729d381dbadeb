"""`cvbench new` for classification: one folder a class, or lists."""

from __future__ import annotations

from pathlib import Path

from cvbench.own_data.base import Layout, OwnData


def _look(folder: Path) -> Layout:
    return Layout("folder", {"path": str(folder.resolve())})  # which says itself what it expected


def _models(size: tuple[int, int]) -> list[str]:
    return [
        "- hog_linear                    # manual features: what the others have to beat",
        "- name: resnet_cifar",
        "  options: {depth: 20}" if max(size) <= 64 else "  options: {depth: 20, width: 32}",
        "- torchvision/resnet18          # add `weights: IMAGENET1K_V1` to start from published weights",
    ]


OWN = OwnData(_look, _models, batch_size=32, multiple=16)
