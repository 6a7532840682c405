"""Count random tables whose delimiter is not detected, or whose cells are not those written.

python benchmarks/tables.py [N]
"""

from __future__ import annotations

import csv
import io
import random
import sys
import tempfile
from pathlib import Path

from llmtool.batch.readers import Reader

NAMES = ["id", "text", "review", "stars", "label", "user name", "Preis (€)", "name, first", "a;b"]
NAMES += ["x|y", "note", "", "date", "comment"]
WORDS = 'the a train, late; really I love it | but not "this" one yes/no tab price 5 3.5 Müller'


def write_table(path: Path, generator: random.Random) -> tuple[str, list[list[str]]]:
    """Write a table with prose and other delimiters in its cells; return delimiter and rows."""
    delimiter = generator.choice(",;\t|")
    header = generator.sample(NAMES, generator.randrange(2, 6))
    rows = [[text(generator) for _ in header] for _ in range(generator.randrange(1, 8))]
    table = io.StringIO(newline="")
    quoting = generator.choice([csv.QUOTE_MINIMAL, csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
    end = generator.choice(["\n", "\r\n"])
    writer = csv.writer(table, delimiter=delimiter, lineterminator=end, quoting=quoting)
    writer.writerows([header, *rows])
    path.write_bytes(table.getvalue().encode(generator.choice(["utf-8", "utf-8-sig", "utf-16"])))
    return delimiter, rows


def text(generator: random.Random) -> str:
    words = " ".join(generator.choices(WORDS.split(), k=generator.randrange(8)))
    return words + ("\nmore" if generator.random() < 0.05 else "")


def main() -> None:
    n_tables = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    generator = random.Random(1)
    n_undetected = n_changed = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        for _ in range(n_tables):
            delimiter, rows = write_table(path, generator)
            reader = Reader("csv", [str(path)])
            records = [record for record in reader if record]
            if reader.delimiter != delimiter:
                n_undetected += 1
            elif [list(record.fields.values()) for record in records] != rows:
                n_changed += 1
    print(f"{n_tables} tables: {n_undetected} undetected delimiters, {n_changed} with other cells")


if __name__ == "__main__":
    main()
