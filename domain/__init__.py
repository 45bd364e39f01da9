"""What may happen and what did: aggregates, events, commands, selections, errors."""
