"""The command line: `app` has one command for each study; the rest is what they share."""
