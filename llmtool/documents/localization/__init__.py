"""Messages of programs: gettext catalogs, XLIFF, Android, Qt, Apple, Java and JSON files."""
