"""What the tables and the pictures of the course are made with."""
