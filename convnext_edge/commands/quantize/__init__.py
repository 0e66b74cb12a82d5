"""The command `quantize`: an INT8 ONNX file with Q/DQ nodes, from weights and calibration images.

command  the function, its result, and the choice of a method
gate     the gate --max-drop: layers go back to float until the accuracy holds
speed    whether INT8 is faster than FP32 on this machine
verdict  what the gates that were set say of the model, and why not to rely on it
"""
