"""`python -m headgate` is the `headgate` program."""

from headgate.cli import main

main()
