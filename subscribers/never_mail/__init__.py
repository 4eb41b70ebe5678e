"""Who is never mailed, as a file outside the database: what goes in, and its way back."""
