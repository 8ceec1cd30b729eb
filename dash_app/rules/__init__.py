"""What a reading means: events, problems and expectations."""
