"""Prints the size of the product, folder by folder, so that every change shows what it adds or removes."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# The first version, before the import name: what later ones are compared with.
FIRST_FILES, FIRST_LINES = 165, 18_987


def main() -> None:
    """Count files and lines of Python in the product; links are not followed, so nothing counts twice."""
    sizes: dict[str, list[int]] = defaultdict(list)
    for top in ("headstart", "components", "pipelines"):
        for file in sorted((ROOT / top).rglob("*.py")):
            if (ROOT / "headstart" / "components") in file.parents or (
                ROOT / "headstart" / "pipelines"
            ) in file.parents:
                continue
            folder = "/".join(file.relative_to(ROOT).parts[:2][: 2 if file.parent != ROOT / top else 1])
            sizes[folder].append(len(file.read_text(encoding="utf-8").splitlines()))
    for folder, lines in sizes.items():
        print(f"{folder:28} {len(lines):4} files {sum(lines):7,} lines, the longest {max(lines):4}")
    files = sum(map(len, sizes.values()))
    lines = sum(map(sum, sizes.values()))
    print(f"{'product':28} {files:4} files {lines:7,} lines (first version: {FIRST_FILES} and {FIRST_LINES:,})")


if __name__ == "__main__":
    main()
