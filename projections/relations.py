"""The relations that stand for the tables of projections at the moment."""

from collections.abc import Mapping, Sequence

from psycopg import sql

from .in_place import IN_PLACE
from .projection import Projection


class Views:
    """Where the rows of projections lie at the moment: the one place that knows generations."""

    def __init__(
        self, schema: str, generations: Mapping[str, int], projections: Sequence[Projection]
    ) -> None:
        self._schema = schema
        self._projection_of = {table: p.name for p in projections for table in p.tables}
        self.generations = dict(generations)

    def relation(self, table: str) -> sql.Identifier:
        """Name the relation that stands for a projection's table now."""
        if table in IN_PLACE:
            return sql.Identifier(self._schema, table)
        return generation_of(self._schema, table, self.generations[self._projection_of[table]])

    def identifiers(self) -> dict[str, sql.Identifier]:
        """Name them all, for SQL that is put together from blocks."""
        return {table: self.relation(table) for table in self._projection_of}


def generation_of(schema: str, table: str, generation: int) -> sql.Identifier:
    """Name one generation of a view's table."""
    return sql.Identifier(schema, f"view_{table}_g{generation}")
