"""The SparkSession of a runtime or a server, where pyspark gives none."""

import subprocess
import sys

PROGRAM = """
from rowcall.adapters.spark import ambient_spark
from rowcall.core.errors import SetupError
try:
    ambient_spark("sc://127.0.0.1:1")
except SetupError as error:
    print(error)
"""


def test_a_program_without_a_file_is_told_what_pyspark_client_needs() -> None:
    found = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False, timeout=60)
    assert "Put the program into a file, or use pyspark[connect]" in found.stdout
    assert found.returncode == 0
