"""The part of Triton's model_config.proto that we write, as protobuf knows it.

Names, numbers and types are facts of triton-inference-server/common (July 2026); a field that is not here is
refused, so that nothing is written which nobody looked up.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

Field = descriptor_pb2.FieldDescriptorProto
STRING, INT32, INT64 = Field.TYPE_STRING, Field.TYPE_INT32, Field.TYPE_INT64
ENUMS = {
    "DataType": {"TYPE_INVALID": 0, "TYPE_UINT8": 2, "TYPE_FP16": 10, "TYPE_FP32": 11},
    "Kind": {"KIND_AUTO": 0, "KIND_GPU": 1, "KIND_CPU": 2, "KIND_MODEL": 3},
}
# Of each message its fields: number, type, and whether there may be several.
MESSAGES: dict[str, dict[str, tuple[int, Any, bool]]] = {
    "ModelInput": {"name": (1, STRING, False), "data_type": (2, "DataType", False), "dims": (4, INT64, True)},
    "ModelOutput": {
        "name": (1, STRING, False),
        "data_type": (2, "DataType", False),
        "dims": (3, INT64, True),
        "label_filename": (4, STRING, False),
    },
    "ModelInstanceGroup": {"count": (2, INT32, False), "kind": (4, "Kind", False)},
    "ModelDynamicBatching": {},
    "ModelParameter": {"string_value": (1, STRING, False)},
    "ParametersEntry": {"key": (1, STRING, False), "value": (2, "ModelParameter", False)},
    "ModelConfig": {
        "name": (1, STRING, False),
        "max_batch_size": (4, INT32, False),
        "input": (5, "ModelInput", True),
        "output": (6, "ModelOutput", True),
        "instance_group": (7, "ModelInstanceGroup", True),
        "default_model_filename": (8, STRING, False),
        "dynamic_batching": (11, "ModelDynamicBatching", False),
        "parameters": (14, "ParametersEntry", True),
        "backend": (17, STRING, False),
    },
}


def parse_config(text: str) -> Any:
    """Return the ModelConfig in a config.pbtxt; raise ParseError for a field or a value that is none."""
    return text_format.Parse(text, _config()())


def _config() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="model_config.proto", package="inference", syntax="proto3")
    for name, values in ENUMS.items():
        enum = file.enum_type.add(name=name)
        for value, number in values.items():
            enum.value.add(name=value, number=number)
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind, several) in fields.items():
            added = message.field.add(name=field, number=number)
            added.label = Field.LABEL_REPEATED if several else Field.LABEL_OPTIONAL
            if isinstance(kind, str):
                added.type = Field.TYPE_ENUM if kind in ENUMS else Field.TYPE_MESSAGE
                added.type_name = f".inference.{kind}"
            else:
                added.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("inference.ModelConfig"))
