"""From an image to a map: preprocessing, class maps, pictures."""
