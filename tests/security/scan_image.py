"""Lists what should not be in an image: `python3 scan_image.py FOLDER` prints JSON. Needs nothing but Python."""

import json
import os
import stat
import sys
from pathlib import Path

SKIPPED = ("/proc", "/sys", "/dev")


def scan(root: str) -> dict[str, object]:
    looked, changing, writable, keys = 0, [], [], []
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if f"{folder.rstrip('/')}/{name}" not in SKIPPED]
        for name in [*folders, *files]:
            path = f"{folder.rstrip('/')}/{name}"
            try:
                mode = os.lstat(path).st_mode
            except OSError:
                continue
            looked += 1
            if stat.S_ISLNK(mode):
                continue
            if stat.S_ISREG(mode) and mode & (stat.S_ISUID | stat.S_ISGID):
                changing.append(path)
            # A folder with the sticky bit, like /tmp, lets nobody touch what is another's.
            if mode & stat.S_IWOTH and not (stat.S_ISDIR(mode) and mode & stat.S_ISVTX) and not stat.S_ISCHR(mode):
                writable.append(path)
            if stat.S_ISREG(mode) and name.endswith((".pem", ".key", "id_rsa", "id_ed25519")):
                try:
                    with Path(path).open("rb") as file:
                        if b"PRIVATE KEY-----" in file.read(65536):
                            keys.append(path)
                except OSError:
                    continue
    return {
        "looked at": looked,
        "changes user or group": sorted(changing),
        "everyone may write": sorted(writable),
        "private key": sorted(keys),
    }


if __name__ == "__main__":
    print(json.dumps(scan(sys.argv[1])))
