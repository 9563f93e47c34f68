"""What maintainers run in a checkout: making a release, and building the site of the documents."""
