"""The built-in methods of initialisation, a file each."""
