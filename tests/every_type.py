"""Samples of every built-in type: a table with a column for each, found in the catalog so that none is forgotten."""

from collections.abc import Mapping

from psycopg import Connection, sql
from psycopg.errors import FeatureNotSupported
from psycopg.rows import DictRow

ODD_TEXTS = (
    "",
    " ",
    "NULL",
    "null",
    "{a,b}",
    "(a,,b)",
    "it's; -- \"quoted\" \\ back\\\\slash \\N \\. $1 $$ E'x'",
    "line\nfeed\r\n\ttab\v\f\b",
    "\x01\x02\x1f\x7f",
    "%s %% %(x)s %",
    "{} {0} {{x}}",
    "é 漢字 🎉 e\u0301 \u200b\ufeff \u2028",
    "  blanks  ",
)

INTEGERS = ("0", "-1", "127")

SAMPLES: Mapping[str, tuple[str, ...]] = {
    "aclitem": ("=r/pg_monitor", "pg_monitor=arw*/pg_monitor"),
    "bit": ("101", "0", "1" * 70),
    "bool": ("t", "f"),
    "box": ("(2,2),(1,1)", "(Infinity,-0),(NaN,5e-324)"),
    "bpchar": ("a", "a  ", " ", *ODD_TEXTS),
    "bytea": ("\\x", "\\x00ff27225c2c7b7d0a", "\\x4e554c4c"),
    "char": ("a", "", "'", '"', "\\", ",", "\x01", " "),
    "cid": ("0", "4294967295"),
    "cidr": ("10.0.0.0/8", "::/0", "1.2.3.4/32"),
    "circle": ("<(1,2),3>", "<(0,-0),Infinity>"),
    "date": ("2024-02-03", "infinity", "-infinity", "5874897-12-31", "4713-01-01 BC"),
    "datemultirange": ("{}", "{(,)}", "{[2024-01-02,2024-02-03),[2025-01-01,infinity)}"),
    "daterange": ("empty", "(,)", "[2024-01-02,2024-02-03)", '["0044-03-15 BC",infinity)'),
    "float4": (
        "NaN",
        "Infinity",
        "-Infinity",
        "-0",
        "0",
        "1e-45",
        "3.4028235e38",
        "0.1",
        "16777217",
    ),
    "float8": (
        *("NaN", "Infinity", "-Infinity", "-0", "0", "5e-324", "2.2250738585072014e-308"),
        *("1.7976931348623157e308", "0.1", "0.30000000000000004", "1e15", "123456789012345680"),
    ),
    "inet": ("10.0.0.1/8", "10.0.0.1", "::1", "::ffff:1.2.3.4/128", "fe80::1/10"),
    "int2": (*INTEGERS, "-32768", "32767"),
    "int2vector": ("1 2 3", "", "-5"),
    "int4": (*INTEGERS, "-2147483648"),
    "int4multirange": ("{}", "{(,)}", "{[1,3),[5,)}"),
    "int4range": ("empty", "[1,5)", "(,5)", "(,)"),
    "int8": (*INTEGERS, "-9223372036854775808"),
    "int8multirange": ("{}", "{[1,3),[5,7)}"),
    "int8range": ("empty", "[1,5)", "[9223372036854775806,)"),
    "interval": (
        *("00:00:00", "-1 mons +2 days -03:04:05.000001", "1 year -1 day", "-00:00:00.000001"),
        *("178000000 years", "-178000000 years", "2147483647 days", "2562047788:00:54.775807"),
    ),
    "json": (
        '{"a": 1,  "b":[1,2 ] , "a":2}',
        "null",
        " 1.00\n",
        '"x\\u0000\\n\\" \\\\ \U0001f389 {} %s"',
    ),
    "jsonb": ('{"b": 1, "a": [1.0, 1.00, null, "\\"", {}]}', "null", '"NULL"', "1.50e3", '""'),
    "jsonpath": ('$."a"[*] ? (@.b like_regex "^\\\\d" flag "i")', 'strict $."k\\"ey"', "$"),
    "line": ("{1,-1,0}", "{0,-1,5e-324}"),
    "lseg": ("[(0,0),(1,1)]", "[(-0,NaN),(1e300,0.1)]"),
    "macaddr": ("08:00:2b:01:02:03", "00:00:00:00:00:00"),
    "macaddr8": ("08:00:2b:ff:fe:01:02:03",),
    "money": ("-92233720368547758.08", "92233720368547758.07", "0.01", "-0.01", "1,234.50"),
    "name": ("a", "n" * 63, *ODD_TEXTS[1:]),
    "numeric": (
        *("NaN", "Infinity", "-Infinity", "1.0", "1.00", "1", "0.000", "-0.10", "1e-300", "1e3000"),
        "12345678901234567890123456789.12345678901234567890",
    ),
    "nummultirange": ("{}", "{[1.0,2.00),(3,NaN]}"),
    "numrange": ("[1.0,2.00]", "(1.5,NaN]", "empty", "(,Infinity]"),
    "oid": ("0", "4294967295"),
    "oidvector": ("1 2 3", "", "4294967295"),
    "path": ("((0,0),(1,1),(2,0))", "[(0,0),(-0,NaN)]"),
    "pg_lsn": ("0/0", "FFFFFFFF/FFFFFFFF"),
    "pg_snapshot": ("10:20:10,14,15", "1:1:"),
    "point": ("(1.5,-0)", "(NaN,Infinity)", "(5e-324,0.1)"),
    "polygon": ("((0,0),(1,1),(2,0))", "((-0,NaN))"),
    "refcursor": ODD_TEXTS,
    "regclass": ("pg_class", "99999999", "0"),
    "regcollation": ('"C"', "99999999"),
    "regconfig": ("english", "99999999"),
    "regdictionary": ("simple", "99999999"),
    "regnamespace": ("pg_catalog", "99999999"),
    "regoper": ("551", "0", "99999999"),  # the plus of integers: its name is that of many
    "regoperator": ("551", "0", "99999999"),
    "regproc": ("870", "now", "0", "99999999"),  # lower(text): its name is that of several
    "regprocedure": ("870", "0", "99999999"),
    "regrole": ("pg_monitor", "99999999"),
    "regtype": ("integer", "timestamp with time zone", '"char"', "text[]", "99999999"),
    "text": ODD_TEXTS,
    "tid": ("(0,0)", "(4294967295,65535)"),
    "time": ("00:00:00", "24:00:00", "12:34:56.000001"),
    "timestamp": (
        *("2024-02-03 04:05:06.000007", "infinity", "-infinity", "0044-03-15 12:00:00 BC"),
        *("294276-12-31 23:59:59.999999", "4713-01-01 00:00:00 BC", "12345-06-07 08:09:10"),
    ),
    "timestamptz": (
        *("2024-02-03 04:05:06.000007+00", "infinity", "-infinity", "0044-03-15 12:00:00+00 BC"),
        *("1883-11-18 12:03:58-05", "2024-11-03 01:30:00-04", "294276-12-31 23:59:59.999999+00"),
    ),
    "timetz": ("24:00:00-15:59:59", "00:00:00.000001+15:59:59", "12:00:00+00"),
    "tsmultirange": ("{}", '{["2024-02-03 04:05:06",infinity)}'),
    "tsquery": ("'a' & !( 'b':AB* | 'c''d' ) <2> 'e\\\\f'", "'%s {} \"'"),
    "tsrange": ("empty", '["2024-02-03 04:05:06","2024-12-11 10:09:08.7")', "(,)"),
    "tstzmultirange": ("{}", '{["2024-02-03 04:05:06+00",)}'),
    "tstzrange": ("empty", '("2024-02-03 04:05:06+00",infinity]'),
    "tsvector": ("'a':1A,2B 'it''s':3 'x\\\\y'", "", "'%s' '{}' '\"' ','"),
    "txid_snapshot": ("10:20:10,14,15", "1:1:"),
    "uuid": ("00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"),
    "varbit": ("", "0", "1" * 70),
    "varchar": ODD_TEXTS,
    "xid": ("0", "4294967295"),
    "xid8": ("0", "18446744073709551615"),
    "xml": (
        '<?xml version="1.0" encoding="UTF-8"?><a b="1">&amp;</a>',
        '<?xml version="1.0" standalone="yes"?><a/>',
        "<!DOCTYPE a><a/>",
        "  text <b/> ",
        "",
    ),
}

SINCE_17 = {"interval": ("infinity", "-infinity")}
SINCE_16 = {"char": ("\\377",)}

NO_INPUT = frozenset(
    {
        *("gtsvector", "pg_brin_bloom_summary", "pg_brin_minmax_multi_summary", "pg_dependencies"),
        *("pg_mcv_list", "pg_ndistinct", "pg_node_tree"),
    }
)
"""Types of the system's own whose input functions take nothing."""


class EveryType:
    """A table with a column for every built-in type and one for its arrays, and rows of samples."""

    table = sql.Identifier("public", "every type")

    def __init__(self, connection: Connection[DictRow]) -> None:
        """Make the table, and fill it."""
        self._connection = connection
        self.samples = find_samples(connection)
        self.columns = [f"{kind} {name}" for name in self.samples for kind in ("one", "many")]
        definitions = [
            sql.SQL("{} {}{}").format(
                sql.Identifier(f"{kind} {name}"), sql.Identifier("pg_catalog", name), suffix
            )
            for name in self.samples
            for kind, suffix in (("one", sql.SQL("")), ("many", sql.SQL("[]")))
        ]
        connection.execute(
            sql.SQL(
                "CREATE TABLE {} (id bigint PRIMARY KEY, deleted_at timestamptz, archived_at timestamptz,"
                " archive_reason text, {})"
            ).format(self.table, sql.SQL(", ").join(definitions))
        )
        self.rows = max(map(len, self.samples.values()))
        for n in range(self.rows):
            self._insert(n)
        connection.execute(
            sql.SQL("INSERT INTO {} (id) VALUES ({})").format(self.table, sql.Literal(self.rows))
        )

    def values_of(self, id_: int) -> dict[str, str | None]:
        """Give the values of one row as input texts; what is a name for a number in the catalog, as the number."""
        columns = sql.SQL(", ").join(
            sql.SQL("{0}{1}::text AS {0}").format(sql.Identifier(name), _number(name))
            for name in self.columns
        )
        row = self._connection.execute(
            sql.SQL("SELECT {} FROM {} WHERE id = %s").format(columns, self.table), [id_]
        ).fetchone()
        assert row is not None
        return row

    def _insert(self, n: int) -> None:
        """Give row n the n-th sample of each type, and an array of one of six shapes."""
        columns: list[sql.Composable] = [sql.SQL("id")]
        values: list[sql.Composable] = [sql.Literal(n)]
        for name, samples in self.samples.items():
            type_ = sql.Identifier("pg_catalog", name)
            one, other = (
                sql.SQL("{}::{}").format(sql.Literal(samples[(n + k) % len(samples)]), type_)
                for k in (0, 1)
            )
            shape = SHAPES[n % len(SHAPES)].format(one=one, other=other, type=type_)
            columns += [sql.Identifier(f"one {name}"), sql.Identifier(f"many {name}")]
            values += [one, shape]
        self._connection.execute(
            sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
                self.table, sql.SQL(", ").join(columns), sql.SQL(", ").join(values)
            )
        )


def find_samples(connection: Connection[DictRow]) -> dict[str, tuple[str, ...]]:
    """Give samples, as input texts, of every built-in type that a column of this server may have."""
    names = [
        row["typname"]
        for row in connection.execute(
            "SELECT typname FROM pg_type WHERE typnamespace = 'pg_catalog'::regnamespace"
            " AND typtype IN ('b', 'r', 'm', 'e', 'd')"
            " AND NOT EXISTS (SELECT FROM pg_type e WHERE e.typarray = pg_type.oid) ORDER BY 1"
        )
    ]
    forgotten = set(names) - set(SAMPLES) - NO_INPUT
    assert not forgotten, f"there are no samples of {forgotten}"
    version = connection.info.server_version
    more = {
        **(SINCE_17 if version >= 170000 else {}),
        **(SINCE_16 if version >= 160000 else {}),
    }
    found = {name: SAMPLES[name] + more.get(name, ()) for name in names if name in SAMPLES}
    if not _has_xml(connection):
        del found["xml"]
    return found


def _has_xml(connection: Connection[DictRow]) -> bool:
    try:
        connection.execute("SELECT '<a/>'::xml")
    except FeatureNotSupported:
        return False
    return True


SHAPES = (
    sql.SQL("ARRAY[{one}, NULL, {other}]"),
    sql.SQL("ARRAY[[{one}, {other}], [{other}, NULL]]"),
    sql.SQL("ARRAY[]::{type}[]"),
    sql.SQL("array_fill({one}, ARRAY[2], ARRAY[-3])"),
    sql.SQL("ARRAY[NULL, NULL]::{type}[]"),
    sql.SQL("array_fill({other}, ARRAY[1, 2, 1], ARRAY[0, 5, 2])"),
    sql.SQL("ARRAY[{one}]"),
)


def _number(column: str) -> sql.SQL:
    kind, name = column.split(" ")
    if not name.startswith("reg"):
        return sql.SQL("")
    return sql.SQL("::oid") if kind == "one" else sql.SQL("::oid[]")
