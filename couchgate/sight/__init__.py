"""What the gate has seen: counted while it serves, shown when somebody asks."""
