"""What must be true of a rendered issue before it may go: rules over values, no database."""
