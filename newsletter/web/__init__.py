"""The pages behind the links of a mail."""
