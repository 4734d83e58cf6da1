"""The families of the table, a page each."""
