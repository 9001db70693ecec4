"""YOLOv1 on trial: a detector (`detector`), its data (`data`) and the study of it (`study`)."""

__version__ = "0.1.0"
