"""`python -m boldformer` is the command line."""

from boldformer.cli import main

main()
