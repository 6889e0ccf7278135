"""``caiwutong import``: a file of payments, checked and applied, with progress."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from caiwutong.cli.common import Shown, Subparsers, add, house
from caiwutong.cli.seed import load_credentials
from caiwutong.imports.records import Progress
from caiwutong.imports.template import write_template
from caiwutong.kernel.errors import Refused


def add_commands(subparsers: Subparsers) -> None:
    parser = add(subparsers, "import", _import, "Import a file of payments (CSV, XLSX, pain.001).")
    parser.add_argument("file", type=Path)
    parser.add_argument("--check", action="store_true", help="only check; nothing is applied")
    parser.add_argument("--skip-bad", action="store_true", help="apply the good rows")
    parser.add_argument(
        "--allow-duplicates", action="store_true", help="pay rows that look paid already"
    )
    parser.add_argument("--sheet", default="", help="sheet of a workbook (default: the first)")
    parser.add_argument("--template", action="store_true", help="write an empty file to fill in")


async def _import(arguments: argparse.Namespace) -> Shown:
    path: Path = arguments.file
    if arguments.template:
        write_template(path)
        return Shown({"template": str(path)}, f"wrote {path}")
    try:
        data = await asyncio.to_thread(path.read_bytes)
    except OSError as error:
        raise Refused(
            "cli.no_file", f"{path.name} cannot be read ({error.strerror}).", "Check the path."
        ) from error
    hear = None if arguments.json else _tell
    async with house(arguments) as services:
        tenant, imports = services.settings.tenant, services.imports
        record, _ = await imports.receive(
            tenant,
            data,
            file_name=path.name,
            caller=load_credentials(services.settings.data_dir).api_key_id,
            actor="cli:import",
            sheet=arguments.sheet,
        )
        result = await imports.check(tenant, record.import_id, hear=hear)
        if not arguments.check:
            result = await imports.apply(
                tenant,
                record.import_id,
                skip_bad=arguments.skip_bad,
                allow_duplicates=arguments.allow_duplicates,
                hear=hear,
            )
        rows = await imports.rows(tenant, record.import_id)
    lines = [
        f"{result.file_name}: {result.state.value}, {result.rows_done:,} rows, "
        f"{result.not_applied:,} not applied"
    ]
    lines += [
        f"  row {row.row_no}: {problem.detail} {problem.cure} [{problem.code}]"
        for row in rows[:20]
        for problem in row.problems
    ]
    bad = result.not_applied > 0
    return Shown({"import": result, "rows": rows}, "\n".join(lines), 1 if bad else 0)


def _tell(progress: Progress) -> None:
    left = "" if progress.seconds_left is None else f", {progress.seconds_left:.0f} s left"
    done = f"{progress.rows_done:,} of {progress.rows_total or '?'} rows"
    print(f"\r{progress.state.value}: {done}{left}   ", end="", file=sys.stderr, flush=True)
