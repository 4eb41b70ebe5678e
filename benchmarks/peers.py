"""The servers that the tests start on loopback, for benchmarks: they live with the tests, and are the same here."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.peers.fixtures import Postfix, empty_database, running_postfix, running_postgresql

__all__ = ["Postfix", "empty_database", "running_postfix", "running_postgresql"]
