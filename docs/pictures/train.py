from ultralytics import YOLO

from yolo_callbacks import EarlyStopping, ReduceLROnPlateau, SaveBest, attach

model = YOLO("yolo11n.yaml")
attach(
    model,
    SaveBest("mAP50", top_k=3),
    ReduceLROnPlateau("mAP50", factor=0.5, patience=2),
    EarlyStopping("mAP50", patience=5),
    report=True,
)
model.train(data="trees/data.yaml", epochs=60, imgsz=128, batch=8, nbs=8, close_mosaic=0)
