"""The dashboard: runs, plugins and what they provide, in a browser. It reads and never writes."""
