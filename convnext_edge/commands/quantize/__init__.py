"""quantize: an INT8 ONNX file with Q/DQ nodes, from weights and calibration images.

command  the function, its result, and the choice of a method
gate     --max-drop: layers go back to float until the accuracy holds
speed    is INT8 faster here than FP32?
"""
