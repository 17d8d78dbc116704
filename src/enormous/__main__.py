"""``python -m enormous``: the command line where the script ``enormous`` is not on the path."""

from enormous.cli import main

if __name__ == "__main__":
    main()
