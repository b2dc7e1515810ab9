"""The subcommands, one group of verbs a module."""
