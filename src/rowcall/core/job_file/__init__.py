"""From the text of a job file to a `JobDefinition`, or every problem in it: key, line, what was expected and the likely fix.

Owns YAML and its places; what the keys mean is in `core.definition`. `reader` is the way through: `tree` (values and where they
stand) → `variables` (filled in) → `unknown_keys` (told, set aside) → Pydantic, whose complaints `complaints` puts into words.
`schema` writes the JSON schema for editors from the same models. A new key needs nothing here.
"""
