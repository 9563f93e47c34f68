"""What every room stands on: errors, files, hashes, the console, processes."""
