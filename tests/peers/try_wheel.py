"""
Install a wheel into a fresh environment with exactly the locked dependencies, and use it far from the checkout.

Usage: try_wheel.py WHEEL REQUIREMENTS_LOCK
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path


def main(wheel: Path, lock: Path) -> None:
    """Fail with the first command that does."""
    with tempfile.TemporaryDirectory() as folder:
        environment = Path(folder) / "environment"
        venv.create(environment, with_pip=True)
        python, newsletter = environment / "bin" / "python", environment / "bin" / "newsletter"
        pip = [python, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
        run(*pip, "--require-hashes", "-r", lock.resolve(), cwd=folder)
        run(*pip, "--no-deps", wheel.resolve(), cwd=folder)
        for words in (("--version",), ("--help",), ("init", "workspace"), ("--workspace", "workspace", "doctor")):
            run(newsletter, *words, cwd=folder)
    print(f"{wheel.name} works in an environment of its own.")


def run(*command: object, cwd: str) -> None:
    done = subprocess.run([str(word) for word in command], cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
