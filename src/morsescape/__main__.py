"""`python -m morsescape`: the command line."""

from morsescape.app import main

if __name__ == "__main__":  # worker processes import this file under another name
    main()
