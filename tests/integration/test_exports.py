"""smoke"""
from pathlib import Path
from psycopg import Connection
from psycopg.rows import DictRow
from action_ledger.domain import col
from action_ledger.ops import Ledger

def test_smoke(ledger: Ledger, places: str, tmp_path: Path, connection) -> None:
    for form in ("csv","ndjson","json","xml","xlsx","pdf","parquet"):
        e = ledger.on(places).where(col("score") <= 50).export(tmp_path / f"x.{form}").by("u").batch_size(20).run()
        print(form, e.status, e.error, list(e.failures())[:1])
        print(e.export())
        if form not in ("xlsx","pdf","parquet"): print((tmp_path / f"x.{form}").read_text()[:300])
        print(list(tmp_path.iterdir()))
    assert 0
