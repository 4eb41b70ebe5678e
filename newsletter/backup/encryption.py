"""
Encrypting a backup with age or gpg: the programs do it, this hands them the stream and tells in words what they say.

Which one is known by the recipient: `age1...` and `ssh-...` are age's, as is a file of recipients; anything else is a
key of gpg. Nothing that is encrypted is written to disk in the clear by them, and no secret is an argument.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, cast

from newsletter.errors import InvalidValue, NewsletterError

AGE_BEGINS = (b"age-encryption.org/", b"-----BEGIN AGE ENCRYPTED FILE-----")
ARMOUR = b"-----BEGIN PGP MESSAGE-----"
GZIP_BEGINS = b"\x1f\x8b"
END_SECONDS = 60.0  # gpg may still ask its agent
_FINGERPRINT = re.compile(r"(0x)?[0-9A-Fa-f]{40}([0-9A-Fa-f]{24})?")


class EncryptionTrouble(NewsletterError):
    """age or gpg is not there, or could not do it."""

    code = "encryption"


def program_for(recipient: str) -> str:
    """Return which program knows such a recipient, `age` or `gpg`."""
    is_age = recipient.startswith(("age1", "ssh-")) or Path(recipient).is_file()
    return "age" if is_age else "gpg"


def check_recipient(recipient: str) -> None:
    """
    Refuse a recipient to whom nothing can be encrypted here, before any work is done.

    Raises:
        InvalidValue: When it is empty, or looks like an option, or like a secret key.
        EncryptionTrouble: When the program is missing or does not know the recipient.
    """
    if not recipient.strip() or recipient.startswith("-"):
        raise InvalidValue(
            "The recipient of --encrypt-to is none.", hint="Give an age recipient (age1...) or a gpg key."
        )
    if recipient.upper().startswith("AGE-SECRET-KEY-"):
        raise InvalidValue(
            "That is a secret key: it opens backups, and does not belong here.",
            hint="Give the recipient that belongs to it: age-keygen -y KEYFILE prints it.",
        )
    with tempfile.TemporaryFile() as nothing, encrypting(recipient, nothing):
        pass


@contextmanager
def encrypting(recipient: str | None, target: BinaryIO) -> Iterator[BinaryIO]:
    """Yield where to write what is to come out encrypted in *target*; without a recipient that is *target* itself."""
    if recipient is None:
        yield target
        return
    with _running(_encrypt_command(recipient), stdin=subprocess.PIPE, stdout=target) as process:
        yield cast("BinaryIO", process.stdin)


@contextmanager
def decrypting(path: Path, identity: Path | None) -> Iterator[BinaryIO]:
    """
    Yield what a backup file says in the clear, whether it is encrypted or not.

    Raises:
        EncryptionTrouble: When it cannot be decrypted; only at the end is it certain that all of it was.
    """
    with path.open("rb") as file:
        beginning = file.read(64)
    if beginning.startswith(GZIP_BEGINS):
        with path.open("rb") as file:
            yield file
        return
    with _running(_decrypt_command(path, beginning, identity), stdout=subprocess.PIPE) as process:
        yield cast("BinaryIO", process.stdout)


def is_encrypted(path: Path) -> str:
    """Return `age` or `gpg`, by what a file begins with; empty when it is neither."""
    with path.open("rb") as file:
        return _kind(file.read(64))


def _kind(beginning: bytes) -> str:
    if beginning.startswith(AGE_BEGINS):
        return "age"
    # An OpenPGP message begins with an encrypted session key: packet 1 or 3, in either format. Source: RFC 4880 4.2.
    tag = (beginning[0] & 0x3F if beginning[0] & 0x40 else beginning[0] >> 2 & 0x0F) if beginning else 0
    is_packet = bool(beginning) and beginning[0] & 0x80 and tag in (1, 3)
    return "gpg" if beginning.startswith(ARMOUR) or is_packet else ""


def _encrypt_command(recipient: str) -> list[str]:
    if program_for(recipient) == "age":
        option = "-R" if Path(recipient).is_file() else "-r"
        return [_found("age"), option, recipient]
    command = [_found("gpg"), "--batch", "--no-tty", "--quiet", "--encrypt", "--compress-algo", "none"]
    if _FINGERPRINT.fullmatch(recipient):  # it can mean one key alone: gpg need not be told to trust it
        command += ["--trust-model", "always"]
    return [*command, "--recipient", recipient]


def _decrypt_command(path: Path, beginning: bytes, identity: Path | None) -> list[str]:
    kind = _kind(beginning)
    if kind == "age":
        if identity is None:
            raise InvalidValue("The backup is encrypted with age.", hint="Name your key file: --identity FILE")
        return [_found("age"), "--decrypt", "-i", str(identity.absolute()), str(path.absolute())]
    if kind == "gpg":
        return [_found("gpg"), "--batch", "--quiet", "--decrypt", "--", str(path.absolute())]
    raise InvalidValue(f"{path} is no backup of this program, and not encrypted with age or gpg.")


def _found(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise EncryptionTrouble(
            f"The program {program} is not installed here.", hint=f"On Debian: sudo apt install {program}"
        )
    return path


@contextmanager
def _running(
    command: Sequence[str], *, stdin: int = subprocess.DEVNULL, stdout: int | BinaryIO
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program while the block lasts; when it fails, what it said is the reason, whatever the block met."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(  # noqa: S603  (age and gpg; a recipient never begins with a dash)
            command, stdin=stdin, stdout=stdout, stderr=said
        )
        try:
            yield process
            _close(process)
        except BaseException as error:
            # A program that has ended by itself is the cause of what the block met; one that still waits is not.
            failed = isinstance(error, BrokenPipeError | NewsletterError) and _ends_soon(process)
            _close(process)
            if not failed:
                raise
        if process.wait() != 0:
            said.seek(0)
            words = _words(said.read(4000).decode(errors="replace"))
            raise EncryptionTrouble(f"{Path(command[0]).name} could not do it: {words or process.returncode}")


def _ends_soon(process: subprocess.Popen[bytes]) -> bool:
    """Tell whether a program ends by itself within a second, and not well."""
    try:
        return process.wait(1) != 0
    except subprocess.TimeoutExpired:
        return False


def _close(process: subprocess.Popen[bytes]) -> None:
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with suppress(BrokenPipeError):
                stream.close()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _words(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip() and "report unexpected" not in line]
    return " ".join("".join(c if c.isprintable() else " " for c in line) for line in lines[:3])
