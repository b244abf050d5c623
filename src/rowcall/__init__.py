"""rowcall: put prompts in a table and get every answer back, once."""

__version__ = "0.1.0"
