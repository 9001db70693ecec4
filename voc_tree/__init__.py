"""Trees of pictures and annotations as Pascal VOC has them: read, written, checked, downloaded, decoded."""
