-- The outputs of a run's job: every answer, whichever run brought it.
SELECT * FROM $outputs
