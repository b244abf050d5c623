"""A model saved with `mlflow.pyfunc` and served by the app that `mlflow models serve` runs.

python scoring_server.py MODEL.py ['{"column": "type", …}']
"""

import json
import os
import sys
from pathlib import Path

import mlflow
from listening import serve
from mlflow.models import ModelSignature
from mlflow.pyfunc import scoring_server
from mlflow.types import ColSpec, Schema


def main(model: str, columns: str = "") -> None:
    signature = _signature(json.loads(columns)) if columns else None
    code = Path(__file__).with_name(model)
    mlflow.pyfunc.save_model("model", python_model=code, pip_requirements=[], signature=signature)
    os.environ[scoring_server._SERVER_MODEL_PATH] = "model"
    from mlflow.pyfunc.scoring_server.app import app

    serve(app)


def _signature(columns: dict[str, str]) -> ModelSignature:
    return ModelSignature(Schema([ColSpec(kind, name) for name, kind in columns.items()]))


if __name__ == "__main__":
    main(*sys.argv[1:])
