"""A custom model with a signature: how many letters a text has, times a weight. A file that `mlflow.pyfunc` makes a model of."""

import mlflow
import pandas as pd
from mlflow.pyfunc import PythonModel


class Scores(PythonModel):
    def predict(self, context: object, model_input: pd.DataFrame, params: object = None) -> list[dict[str, float]]:
        rows = model_input.itertuples()
        return [{"letters": len(row.text), "score": len(row.text) * row.weight} for row in rows]


mlflow.models.set_model(Scores())
