-- What the rows of runs say of what the runs have left.
SELECT run_id, job, status, outputs_table, traces_table, context['journal'] AS journal
FROM $runs
WHERE :job = '' OR job = :job
ORDER BY run_id
