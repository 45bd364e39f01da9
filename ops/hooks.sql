-- name: deliveries
-- What is to be told, or could not be, the oldest news first.
SELECT subscription_id, job_id, kind, event, hook, position, happened_at, attempts, last_error, parked_at
FROM {hook_deliveries}
WHERE position > delivered AND (NOT %(failed)s OR attempts > 1 OR attempts > 0 AND last_error IS NOT NULL OR parked_at IS NOT NULL)
ORDER BY position LIMIT %(limit)s

-- name: retry
-- Lets what was set aside, or waits after a failure, be tried at once, as if for the first time.
UPDATE {hook_deliveries} SET attempts = 0, available_at = '-infinity', parked_at = NULL
WHERE position > delivered AND (last_error IS NOT NULL OR parked_at IS NOT NULL)
    AND (%(hook)s::text IS NULL OR hook = %(hook)s)
