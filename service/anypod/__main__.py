"""`python -m anypod` is the command `anypod`."""

from anypod.cli import main

if __name__ == "__main__":
    main()
