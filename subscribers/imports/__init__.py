"""Files of people: read, checked, compared, written in batches, and undone."""
