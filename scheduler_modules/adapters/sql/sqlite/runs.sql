-- Without statistics SQLite would read the whole table, because it lies in the order of ids.

-- name: open_runs
{select_run} indexed by idx_project_run_unfinished {where_open}

-- name: uncleaned_runs
{select_run} indexed by idx_project_run_unfinished {where_uncleaned}
