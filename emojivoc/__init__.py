"""EmojiVOC: a detection data set drawn from code, byte for byte, with Pascal VOC's classes and statistics."""
