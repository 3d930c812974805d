from ultralytics import YOLO

from yolo_callbacks import EarlyStopping, ReduceLROnPlateau, SaveBest, attach

model = YOLO("yolo11n.yaml")
attach(
    model,
    SaveBest("mAP50", top_k=3),
    ReduceLROnPlateau("mAP50", factor=0.5, patience=3),
    EarlyStopping("mAP50", patience=6),
    report=True,
)
model.train(data="trees/data.yaml", epochs=40, imgsz=160, batch=4, nbs=4, close_mosaic=0)
