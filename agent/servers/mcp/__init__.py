"""``moonpool mcp``: sealed sandboxes for any client of the Model Context Protocol."""
