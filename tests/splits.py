"""What must be true of batches that were split: read by plain SQL, as the other invariants are."""

from itertools import chain

from psycopg import Connection
from psycopg.adapt import Transformer
from psycopg.pq import Format
from psycopg.rows import DictRow

from action_ledger.workers.arrays import TEXT_ARRAY


def splits(connection: Connection[DictRow]) -> list[tuple[int, str, int, int]]:
    """Give number, reason, records and parts of each split, in their order."""
    rows = connection.execute(
        "SELECT convert_from(state, 'UTF8')::jsonb AS body FROM action_ledger.stored_events"
        " WHERE topic = 'batch.split' ORDER BY notification_id"
    ).fetchall()
    bodies = [row["body"] for row in rows]
    return [(b["number"], b["reason"], b["records"], len(b["parts"])) for b in bodies]


def check_splits(connection: Connection[DictRow]) -> None:
    """I8 for batches that were split: their keys, in their order, are those of their parts, and each part is planned."""
    found = connection.execute(
        "SELECT e.originator_id AS id, convert_from(e.state, 'UTF8')::jsonb AS body, k.number, k.records, k.keys"
        " FROM action_ledger.stored_events e JOIN action_ledger.key_sets k ON k.owner = e.originator_id"
        " WHERE e.topic = 'batch.split'",
    ).fetchall()
    parts = {
        str(row["owner"]): row
        for row in connection.execute(
            "SELECT k.owner, k.number, k.records, k.keys, k.first_key, k.last_key, k.split_from,"
            " convert_from(e.state, 'UTF8')::jsonb AS body FROM action_ledger.key_sets k"
            " LEFT JOIN action_ledger.stored_events e ON e.originator_id = k.owner AND e.topic = 'batch.planned'"
            " WHERE k.split_from IS NOT NULL",
        )
    }
    loader = Transformer(connection).get_loader(TEXT_ARRAY, Format.TEXT)

    def columns(keys: list[str]) -> list[list[str]]:
        return [loader.load(text.encode()) for text in keys]

    for split in found:
        mine = [parts.pop(part) for part in split["body"]["parts"]]
        assert split["records"] == split["body"]["records"] == sum(p["records"] for p in mine)
        for part in mine:
            planned = part["body"]
            assert (part["split_from"], part["number"]) == (split["id"], split["number"])
            assert planned["split_from"] == str(split["id"]), (
                f"I8: {part['owner']} is nobody's part"
            )
            assert (planned["records"], planned["number"]) == (part["records"], part["number"])
            ends = [(keys[0], keys[-1]) for keys in columns(part["keys"])]
            assert ends == list(zip(part["first_key"], part["last_key"], strict=True))
        joined = [
            list(chain.from_iterable(column))
            for column in zip(*(columns(p["keys"]) for p in mine), strict=True)
        ]
        assert joined == columns(split["keys"]), f"I8: the parts of {split['id']} are not its keys"
    assert not parts, f"I8: parts that no split tells of: {list(parts)}"
