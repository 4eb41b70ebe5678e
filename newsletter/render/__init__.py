"""An issue becomes a message: values in, values out; no database, no socket."""
