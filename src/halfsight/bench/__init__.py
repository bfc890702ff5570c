"""What the README says about speed and memory, measured where it runs."""
