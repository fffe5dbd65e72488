"""What runs inside the hub process."""
