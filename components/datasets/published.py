"""Where the two data sets of the paper are published, and the checksums of the files."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PublishedFile:
    """One file that is published under a fixed name."""

    url: str
    checksum: str
    """`md5=…` or `sha256=…`; empty where none is published."""
    source: str
    """The page that says so."""


# The MD5 sums of the CIFAR files are beside the links on their page.
CIFAR = "https://www.cs.toronto.edu/~kriz/"
FILES: dict[str, PublishedFile] = {
    "cifar100": PublishedFile(
        f"{CIFAR}cifar-100-python.tar.gz", "md5=eb9058c3a382ffc7106e4002c42a8d85", f"{CIFAR}cifar.html"
    ),
    "cifar100-binary": PublishedFile(
        f"{CIFAR}cifar-100-binary.tar.gz", "md5=03b5dce01913d631647c71ecec9e9cb8", f"{CIFAR}cifar.html"
    ),
    # The release is a snapshot of a repository, packed again when it is asked for, so no checksum is published.
    "fruits360": PublishedFile(
        "https://github.com/fruits-360/fruits-360-100x100/archive/refs/heads/main.zip",
        "",
        "https://github.com/fruits-360",
    ),
}


def known_checksum(url: str) -> str:
    """Return the published checksum of a well-known file, by its name, or ''."""
    name = url.rpartition("/")[2]
    for file in FILES.values():
        if file.checksum and file.url.rpartition("/")[2] == name:
            return file.checksum
    return ""
