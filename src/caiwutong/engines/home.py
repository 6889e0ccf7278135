"""Where engines live: whose user they run as, and folders, sockets and ports that user can use.

An ordinary user keeps everything in the data folder. Root must not run PostgreSQL, so as root the
engines run as a user of their own, which cannot enter root's home: what it cannot reach is kept in
``/var/lib/caiwutong`` instead (programs copied once and checked, data behind a link).

Read next: ``postgres.py``.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import pwd
import secrets
import shutil
import socket
import stat
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

import msgspec

from caiwutong.kernel.errors import Refused, Unavailable

log = logging.getLogger("caiwutong.engines")

SYSTEM = Path("/var/lib/caiwutong")
USER = "caiwutong"
LONGEST_SOCKET_FOLDER = 80
"""A Unix socket's path holds 107 bytes on Linux, 103 on macOS; its name takes up to 20 more."""
FIRST_PORT, END_PORT = 15000, 32768
"""Below the range Linux gives to outgoing connections (32768 to 60999): nobody is in the way."""


class Account(msgspec.Struct, frozen=True):
    """A user of the system that engines run as."""

    name: str
    uid: int
    gid: int


def account_for(data_dir: Path) -> Account | None:
    """Whom the engines of this data folder run as; ``None`` means as ourselves.

    As root: the owner of the data already there, else ``caiwutong`` (made if need be), else
    ``nobody``.
    """
    if os.geteuid() != 0:
        return None
    with contextlib.suppress(FileNotFoundError, KeyError):
        owner = (data_dir / "postgres").stat().st_uid
        if owner != 0:
            return _account(pwd.getpwuid(owner))
    for make in (False, True):
        if make:
            _make_user()
        with contextlib.suppress(KeyError):
            return _account(pwd.getpwnam(USER))
    log.warning("cannot make the user %s; the engines run as nobody", USER)
    return _account(pwd.getpwnam("nobody"))


def _account(entry: pwd.struct_passwd) -> Account:
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _make_user() -> None:
    useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if useradd is not None:
        subprocess.run(
            [useradd, "--system", "--user-group", "--no-create-home", USER],
            capture_output=True,
            check=False,
        )


def run_as(
    account: Account | None, argv: list[str], env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end as this account; output is captured, a bad exit is not raised."""
    if account is None:
        return subprocess.run(argv, env=env, cwd="/", capture_output=True, text=True, check=False)
    return subprocess.run(
        argv,
        env=env,
        cwd="/",
        user=account.uid,
        group=account.gid,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
    )


def can_enter(account: Account | None, path: Path) -> bool:
    """Whether this account may enter the folder, or run the file."""
    if account is None:
        return os.access(path, os.X_OK)
    return run_as(account, ["/bin/sh", "-c", 'test -x "$1"', "sh", str(path)]).returncode == 0


def private_folder(path: Path, account: Account | None = None) -> Path:
    """Make the folder if need be, for its account's eyes only; refuse one that is another's."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    owner = account.uid if account else os.geteuid()
    # Never through a link: in a folder others write to, it may point at anything of root's.
    found = path.lstat()
    if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() != owner and account:
        os.chown(path, account.uid, account.gid, follow_symlinks=False)
        found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner:
        raise Refused(
            "engines.folder_not_ours",
            f"{path} belongs to another user.",
            "Run as its owner, move it away, or choose another data folder.",
        )
    path.chmod(0o700)
    return path


def data_folder(data_dir: Path) -> Path:
    """The data folder itself, made if need be, absolute. Root's can be passed through by others."""
    data_dir = data_dir.absolute()
    if not data_dir.exists():
        data_dir.mkdir(parents=True)
        data_dir.chmod(0o755 if os.geteuid() == 0 else 0o700)
    return data_dir.resolve()


def place(data_dir: Path, name: str, account: Account | None) -> Path:
    """The folder where the engine ``name`` keeps its files, owned by its account, kept for ever.

    It is ``data_dir/name``: the folder itself, or where the account cannot reach that, a link to a
    folder below ``/var/lib/caiwutong/instances``.
    """
    here = data_dir / name
    if here.is_symlink():
        return private_folder(here.resolve(), account)
    if account is None or can_enter(account, data_dir):
        return private_folder(here, account)
    if here.exists():
        raise Refused(
            "engines.out_of_reach",
            f"{here} holds data, and the user {account.name} cannot reach it.",
            f"Open its parent folders to {account.name} (chmod a+x), or run as its owner.",
        )
    instances = _system_folder("instances")
    there = instances / f"{data_dir.name}-{_mark(data_dir)}-{name}"
    if there.exists():
        # The data folder was deleted, its data was not. Start empty as asked, but destroy nothing.
        log.warning("%s holds data of a folder that was deleted; it is left alone", there)
        there = there.with_name(f"{there.name}-{secrets.token_hex(4)}")
    private_folder(there, account)
    here.symlink_to(there)
    return there


def erase(data_dir: Path) -> None:
    """Delete a data folder with everything its engines kept, wherever that lies. For tests."""
    for name in ("postgres", "nats"):
        here = data_dir / name
        if here.is_symlink():
            shutil.rmtree(here.resolve(), ignore_errors=True)
    shutil.rmtree(SYSTEM / "run" / _mark(data_dir.resolve()), ignore_errors=True)
    shutil.rmtree(data_dir, ignore_errors=True)


def _mark(data_dir: Path) -> str:
    """Tells folders of the same name apart where they meet."""
    return hashlib.sha256(str(data_dir).encode()).hexdigest()[:8]


def _system_folder(name: str) -> Path:
    folder = SYSTEM / name
    try:
        for path in (SYSTEM, folder):
            path.mkdir(exist_ok=True, mode=0o755)
            path.chmod(0o755)
    except OSError as error:
        raise Unavailable(
            "engines.no_system_folder",
            f"As root, {folder} is needed, and cannot be made: {error}.",
            "Let root write there, choose a data folder others may enter, or run as a plain user.",
        ) from error
    return folder


def program_folder(
    root: Path, files: Iterable[Path], key: str, account: Account | None, probe: Path
) -> Path:
    """``root``, or where the account cannot run ``probe`` in it, a checked copy of ``files``.

    ``key`` names the copy and changes with its content. Files keep their place relative to the
    root, so that libraries are found where they were.
    """
    if account is None or can_enter(account, probe):
        return root
    copy = _system_folder("engines") / key
    if _is_whole(copy):
        return copy
    work = Path(tempfile.mkdtemp(prefix=f".{key}.", dir=copy.parent))
    work.chmod(0o755)
    sizes: dict[str, int] = {}
    for source in files:
        name = source.relative_to(root)
        target = work / name
        for folder in reversed(target.relative_to(work).parents):
            (work / folder).mkdir(exist_ok=True, mode=0o755)
            (work / folder).chmod(0o755)
        shutil.copyfile(source, target)
        target.chmod(0o755 if os.access(source, os.X_OK) else 0o644)
        if digest(target) != digest(source):
            raise Unavailable(
                "engines.bad_copy", f"{target} is not what {source} is.", "Check the disk."
            )
        sizes[str(name)] = target.stat().st_size
    (work / "manifest.json").write_text(json.dumps(sizes))
    shutil.rmtree(copy, ignore_errors=True)
    with contextlib.suppress(OSError):
        work.rename(copy)
    shutil.rmtree(work, ignore_errors=True)
    return copy


def _is_whole(copy: Path) -> bool:
    with contextlib.suppress(OSError, ValueError):
        sizes: dict[str, int] = json.loads((copy / "manifest.json").read_text())
        return all((copy / name).stat().st_size == size for name, size in sizes.items())
    return False


def digest(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def socket_folder(data_dir: Path, account: Account | None) -> Path:
    """A private folder with a path short enough for a Unix socket, in the data folder if it can."""
    here = data_dir / "run" / "postgres"
    if len(os.fsencode(here)) <= LONGEST_SOCKET_FOLDER and (
        account is None or can_enter(account, data_dir)
    ):
        (data_dir / "run").mkdir(exist_ok=True, mode=0o755)
        return private_folder(here, account)
    mark = _mark(data_dir)
    if account is not None:
        return private_folder(_system_folder("run") / mark, account)
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime and len(runtime) < 40 and os.access(runtime, os.W_OK):
        return private_folder(Path(runtime) / f"caiwutong-{mark}")
    return private_folder(Path("/tmp") / f"caiwutong-{mark}-{os.geteuid()}")


def write_secret(path: Path, text: str, account: Account | None = None) -> None:
    """Write a file only its account may read, whole or not at all."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        if account is not None:
            os.fchown(handle, account.uid, account.gid)
        file.write(text)
        file.flush()
        os.fsync(handle)
    draft.rename(path)


def free_port(preferred: int = 0) -> int:
    """A port nobody listens on at 127.0.0.1, below 32768; the preferred one if it is free."""
    span = END_PORT - FIRST_PORT
    for port in (preferred, *(FIRST_PORT + secrets.randbelow(span) for _ in range(200))):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError, OverflowError):
                if port > 0:
                    probe.bind(("127.0.0.1", port))
                    return port
    raise Unavailable("engines.no_port", "No free port was found.", "End what listens on them.")
