"""The keys as they are now: a key that was rotated while a process runs verifies at once, without a restart."""

from __future__ import annotations

from pathlib import Path

from newsletter.keys import Keys, load_keys


class FreshKeys:
    """Reads the keys once, and again when their folder has changed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stamp = folder.stat().st_mtime_ns
        self._keys = load_keys(folder)

    def current(self) -> Keys:
        """Return the keys. A key is replaced by renaming a file into the folder, which changes the folder's time."""
        stamp = self._folder.stat().st_mtime_ns
        if stamp != self._stamp:
            self._keys, self._stamp = load_keys(self._folder), stamp
        return self._keys
