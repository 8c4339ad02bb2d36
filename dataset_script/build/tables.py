"""Arrow tables of rows, with and without images."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

import numpy as np
import pyarrow as pa

from pipeline_synfundus.labels import CONDITION_NAMES

from ..plan.condition_plan import Row
from ..schema import features, file_name

# Created once: it takes as long as the columns of a row group.
_SCHEMA = features().arrow_schema
_codes = itemgetter(*CONDITION_NAMES)


def label_table(rows: Sequence[Row]) -> pa.Table:
    """Returns the rows without images: the columns of the configuration `labels`."""
    records = [{"idx": row.idx, **row.condition} for row in rows]
    return pa.Table.from_pylist(records, schema=features(images=False).arrow_schema)


def image_table(rows: Sequence[Row], images: Sequence[bytes], suffix: str) -> pa.Table:
    """Returns the rows with their encoded images: the columns of the configuration `default`.

    The schema stores the features, so a single Parquet file is enough to restore the names of the label values.

    Args:
        rows: the rows.
        images: one encoded image file per row.
        suffix: file name suffix of the images, with the dot.
    """
    files = pa.StructArray.from_arrays(
        [pa.array(images, pa.binary()), pa.array([file_name(row.idx, suffix) for row in rows])], names=["bytes", "path"]
    )
    # Column by column: Arrow takes twice as long to build the table from one mapping per row.
    codes = np.array([_codes(row.condition) for row in rows], np.int64).T
    columns = [files, pa.array([row.idx for row in rows]), *map(pa.array, np.ascontiguousarray(codes))]
    return pa.Table.from_arrays(columns, schema=_SCHEMA)
