"""The configuration: what each key means, where a value came from, and how the file is edited."""
