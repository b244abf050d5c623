"""A Databricks bundle: the job of a definition, and what can be wrong with a bundle before it is deployed."""
