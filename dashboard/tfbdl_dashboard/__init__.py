"""The dashboard: runs started, watched and compared, and what plugins provide, in a browser."""
