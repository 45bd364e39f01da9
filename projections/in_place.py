"""Which tables have no generations: a rebuild reconciles them in place, since their rows carry locks, or what workers know."""

IN_PLACE = frozenset({"work_queue", "schedule_queue", "chain_queue", "hook_deliveries"})
