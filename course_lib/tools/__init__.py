"""What authors and teachers run: student versions, links and badges, notebooks made ready for a commit."""
