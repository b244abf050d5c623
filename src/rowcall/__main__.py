"""`python -m rowcall`."""

from rowcall.cli import main

if __name__ == "__main__":
    main()
