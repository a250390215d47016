"""The command `import-tusd`: settings and arguments in, lines and an exit code out."""

import asyncio
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

from tusd_py.app import open_service
from tusd_py.config import Config
from tusd_py.finisher import ignore
from tusd_py.names import is_segment
from tusd_py.setting_types import Durability, SettingError
from tusd_py.tusd.importer import Fate, Order, import_tusd
from tusd_py.tusd.survey import Rules


def run_import(
    config: Config,
    folder: Path,
    *,
    user: str | None,
    user_key: str | None,
    is_dry: bool,
    moves: bool,
) -> int:
    """Take over what lies in `folder`; returns 1 when something there could not be.

    With `moves` whatever is said to be here is on the medium, also without DURABILITY=strict:
    nothing else has it any more. Raises `SettingError` and `StorageError`.
    """
    if user is not None and not is_segment(user):
        raise SettingError(f"--user: {user!r} cannot be the name of a folder.")
    ours = config.local_temp_chunk_path
    _require_own(ours)
    order = Order(
        folder=folder.absolute(),
        without=(ours / "uploads", ours / "final", ours / "quarantine", ours / "locks"),
        rules=Rules(
            user=user,
            user_key=user_key,
            max_metadata=config.max_metadata_size,
            base=config.tus_base_path,
        ),
        is_dry=is_dry,
        moves=moves,
    )
    durability = Durability.STRICT if moves else config.durability
    fates = asyncio.run(_run(replace(config, durability=durability), order))
    counts = ", ".join(f"{fates[fate]} {fate.value}" for fate in Fate)
    print(f"{counts}{' (nothing was done: --dry-run)' if is_dry else ''}")
    return 1 if fates[Fate.FAILED] else 0


async def _run(config: Config, order: Order) -> Counter[Fate]:
    async with (
        open_service(config) as service,
        service.locker.try_lock("import-tusd", wanted=ignore) as is_held,
    ):
        if not is_held:
            raise SettingError("Another import-tusd is at work here; wait until it has ended.")
        return await import_tusd(service, order, lambda line: print(line, flush=True))


def _require_own(folder: Path) -> None:
    """Files of root would be of no use to a server that is somebody else."""
    if folder.is_dir() and os.geteuid() == 0 != folder.stat().st_uid:
        raise SettingError(f"Run this as the user that {folder} belongs to, as the server does.")
