"""Two solutions and the paths between them: what they rise to, proved."""
