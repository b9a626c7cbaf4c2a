"""What CP2K prints."""
