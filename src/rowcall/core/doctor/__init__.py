"""What a run needs, and how what was found out about it reads: each check's result, with what to do about it."""
