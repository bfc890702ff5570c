"""halfsight."""
