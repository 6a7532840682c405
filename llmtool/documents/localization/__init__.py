"""Messages of programs: XLIFF, Android, Qt, Apple and Java files."""
