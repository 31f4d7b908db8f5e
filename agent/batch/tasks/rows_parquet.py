"""Rows of a Parquet file, as data sets are handed around. The only module that imports pyarrow."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agent.batch.task import TaskOrigin
from agent.batch.tasks.row import TaskRow
from agent.errors import UsageError, extra_missing

ROWS_LIMIT = 1_000_000
_BATCH = 1024


def rows(path: Path) -> Iterator[TaskRow]:
    """The rows, numbered from 1; what is null is left out.

    Raises:
        UsageError: pyarrow is not installed, or the file is no Parquet or too long.
    """
    try:
        # It has no types of its own.
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise extra_missing(f"{path}: reading Parquet takes pyarrow", "parquet") from error
    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            if file.metadata.num_rows > ROWS_LIMIT:
                raise UsageError(f"{path} has more than {ROWS_LIMIT} rows: make several of it")
            for batch in file.iter_batches(batch_size=_BATCH):
                for data in batch.to_pylist():
                    number += 1
                    yield TaskRow(
                        data={key: value for key, value in data.items() if value is not None},
                        origin=TaskOrigin(file=str(path), line=0),
                        named=f"row {number}",
                    )
    except (OSError, ValueError) as error:  # pyarrow's own are kinds of these
        words = str(error).strip().partition("\n")[0]
        raise UsageError(f"{path} can't be read as Parquet: {words}") from error
