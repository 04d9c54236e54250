"""A scene of one's own: what `pw new` knows of a photo, the scene file it writes, and its page in the browser."""
