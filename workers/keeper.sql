-- name: look
-- What there may be to do beside units of work. It only says where to look closer: each claims by its own rules.
SELECT
    EXISTS (SELECT FROM {schema}.command_inbox
        WHERE rejected_at IS NULL AND available_at <= clock_timestamp()) AS commands,
    EXISTS (SELECT FROM {schedule_queue}
        WHERE status = 'active' AND due_at <= clock_timestamp() AND available_at <= clock_timestamp()) AS schedules,
    EXISTS (SELECT FROM {chain_queue}
        WHERE status <> 'paused' AND available_at <= clock_timestamp()) AS chains,
    EXISTS ({findings}) AS findings,
    EXISTS (SELECT FROM {exports} x JOIN {schema}.export_files f ON f.execution_id = x.execution_id
        WHERE x.status = 'written' AND NOT f.staged
            AND x.written_at <= clock_timestamp() - make_interval(secs => %(file_seconds)s)) AS files,
    EXISTS (SELECT FROM {schema}.command_inbox
        WHERE rejected_at <= clock_timestamp() - make_interval(secs => %(rejected_seconds)s)) AS rejected
