"""
Backups: one file with all that a workspace is, and the way back from it.

Nothing that stands is touched before everything in the file was checked; a database that was put back sends nothing
until a person says that it is the live one.
"""
