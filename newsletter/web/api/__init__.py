"""The programming interface, `/api/v1`: the same words as the command line's JSON, for forms and other programs."""
