"""Tables of numbers in small files.

Inside: `write_table`.
"""

from pathlib import Path

import pandas as pd
from pyarrow import Table, parquet


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table of numbers, truth values and words, without its index, in a small file that reads back the same to the bit.

    The bytes of a column's numbers are sorted by their place before they are compressed, so that float64 which came from float32 takes
    little more than float32: its last bytes are all zero. Left out is what no reader here asks for: pandas' schema, Arrow's, statistics.
    """
    numbers = [name for name, dtype in table.dtypes.items() if dtype.kind in "iuf"]
    others = [name for name in table.columns if name not in numbers]
    small = {"compression": "zstd", "compression_level": 19, "store_schema": False, "write_statistics": False}
    plain = Table.from_pandas(table, preserve_index=False)
    parquet.write_table(plain, path, use_byte_stream_split=numbers, use_dictionary=others, **small)
