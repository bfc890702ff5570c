"""What a person sees of a result: figures and files."""
