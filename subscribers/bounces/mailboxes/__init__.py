"""Mailboxes that returned mail arrives in: looked into, each mail taken once, none lost."""
