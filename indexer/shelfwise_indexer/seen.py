"""Seen: which ids a stream has had already. Exact, and in bounded memory: they lie in a temporary file."""

import sqlite3

CACHE_KIB = 8 << 10


class Seen:
    """Remembers ids in a private temporary database that is gone with the process; small ones never reach the disk."""

    def __init__(self) -> None:
        self._rows = sqlite3.connect("", isolation_level=None)  # "": SQLite's own name for such a database
        for setting in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{CACHE_KIB}"):
            self._rows.execute(f"PRAGMA {setting}")
        self._rows.execute("CREATE TABLE seen (id BLOB PRIMARY KEY) WITHOUT ROWID")
        self._rows.execute("BEGIN")

    def add(self, id_: str) -> bool:
        """Remember an id; whether it is new."""
        added = self._rows.execute("INSERT OR IGNORE INTO seen VALUES (?)", (id_.encode(),))
        return added.rowcount == 1

    def close(self) -> None:
        """Forget them all."""
        self._rows.close()
