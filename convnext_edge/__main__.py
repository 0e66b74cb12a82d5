"""`python -m convnext_edge`, where the console script is not on the path."""

from convnext_edge.cli import main

if __name__ == "__main__":
    main()
