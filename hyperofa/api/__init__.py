"""What ``import hyperofa`` offers: functions that take and return objects."""
