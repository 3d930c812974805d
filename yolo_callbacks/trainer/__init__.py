"""The folder that knows the trainers of Ultralytics; the older modules of that kind move here one by one."""
