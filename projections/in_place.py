"""Which tables have no generations: a rebuild reconciles them in place, since their rows carry locks."""

IN_PLACE = frozenset({"work_queue", "schedule_queue"})
