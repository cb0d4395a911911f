"""The command line: `./kap`."""
