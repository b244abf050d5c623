"""Run a job on a cluster of its own, as a notebook would, and tell how it went and what is in its outputs, as JSON.

Arguments are the folder of the tables and the job file.
"""

import json
import sys
from pathlib import Path

import rowcall
from cluster import open_session

folder, job = sys.argv[1:]
spark = open_session(Path(folder))
run = rowcall.run(job, spark=spark)
outputs = spark.table(run.outputs_table).select("id", "answer", "outcome").orderBy("id").collect()
json.dump({"run": run.as_json(), "answers": [list(row) for row in outputs]}, sys.stdout)
spark.stop()
