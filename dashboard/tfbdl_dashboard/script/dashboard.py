"""The script that Streamlit runs at each visit.

It stands in a folder of its own: beside a folder named ``pages`` Streamlit would take each module
there for a script, until the navigation was drawn for the first time.
"""

from __future__ import annotations

from tfbdl_dashboard import app

app.navigation()
