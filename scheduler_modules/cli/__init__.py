"""The command line's own parts: context, references, views, output. Verbs are in `commands`."""
