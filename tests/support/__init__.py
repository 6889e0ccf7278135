"""What several test folders share. Import it as ``support.<name>``."""
