"""A message becomes SMTP, and what came of it is recorded."""
