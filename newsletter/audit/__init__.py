"""The audit log: who did what; a chain that shows whether an entry was changed."""
