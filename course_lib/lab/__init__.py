"""What a notebook teaches with: exercises with their checks, things to turn, a mask editor."""
