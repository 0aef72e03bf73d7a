"""What the faces know, and who keeps it fresh."""
