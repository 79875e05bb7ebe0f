"""`python -m morsescape`: the command line."""

from morsescape.cli import main

main()
