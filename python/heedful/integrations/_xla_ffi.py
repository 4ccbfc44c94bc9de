"""Python functions as XLA's foreign functions on the CPU, by ctypes: no compiler, no header.

The structures are those of xla/ffi/api/c_api.h, whose binary interface is versioned: each begins
with its size and a list of extensions, and later versions only append fields.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Array = np.ndarray[Any, Any]
Function = Callable[[dict[str, str], list[Array], list[Array]], None]

_POINTER, _SIZE, _INT = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
_MAJOR_VERSION, _FIRST_MINOR_VERSION = 0, 1
_METADATA, _EXECUTE, _INTERNAL = 1, 3, 13  # of the enumerations of extensions, stages, errors

_TYPES = {
    1: np.bool_, 2: np.int8, 3: np.int16, 4: np.int32, 5: np.int64, 6: np.uint8, 7: np.uint16,
    8: np.uint32, 9: np.uint64, 10: np.float16, 11: np.float32, 12: np.float64, 16: jnp.bfloat16,
}  # fmt: skip


class _Extension(ctypes.Structure):
    _fields_ = (("size", _SIZE), ("type", _INT), ("next", _POINTER))


_HEAD = (("size", _SIZE), ("extensions", ctypes.POINTER(_Extension)))


class _Version(ctypes.Structure):
    _fields_ = (*_HEAD, ("major", _INT), ("minor", _INT))


class _Metadata(ctypes.Structure):
    _fields_ = (("size", _SIZE), ("version", _Version), ("traits", ctypes.c_uint32))


class _MetadataExtension(ctypes.Structure):
    _fields_ = (("base", _Extension), ("metadata", ctypes.POINTER(_Metadata)))


class _NewError(ctypes.Structure):
    _fields_ = (*_HEAD, ("message", ctypes.c_char_p), ("code", _INT))


class _Api(ctypes.Structure):
    _fields_ = (
        *_HEAD,
        ("version", _Version),
        ("internal", _POINTER),
        ("new_error", ctypes.CFUNCTYPE(_POINTER, ctypes.POINTER(_NewError))),
    )


class _Buffer(ctypes.Structure):
    _fields_ = (
        *_HEAD,
        ("type", _INT),
        ("data", _POINTER),
        ("rank", ctypes.c_int64),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
    )


class _Buffers(ctypes.Structure):
    _fields_ = (
        *_HEAD,
        ("count", ctypes.c_int64),
        ("types", _POINTER),
        ("buffers", ctypes.POINTER(ctypes.POINTER(_Buffer))),
    )


class _Text(ctypes.Structure):
    _fields_ = (("start", _POINTER), ("size", _SIZE))


class _Attributes(ctypes.Structure):
    _fields_ = (
        *_HEAD,
        ("count", ctypes.c_int64),
        ("types", _POINTER),
        ("names", ctypes.POINTER(ctypes.POINTER(_Text))),
        ("values", ctypes.POINTER(ctypes.POINTER(_Text))),
    )


class _Call(ctypes.Structure):
    _fields_ = (
        *_HEAD,
        ("api", ctypes.POINTER(_Api)),
        ("context", _POINTER),
        ("stage", _INT),
        ("inputs", _Buffers),
        ("outputs", _Buffers),
        ("attributes", _Attributes),
    )


_Handler = ctypes.CFUNCTYPE(_POINTER, ctypes.POINTER(_Call))
_registered: list[Any] = []  # what XLA calls must not be collected


def register(name: str, function: Function) -> None:
    """Make `function` the target of ``jax.ffi.ffi_call(name, …)`` on the CPU.

    It is called with the attributes, all of them strings, the inputs and the outputs, which it
    fills. They are XLA's memory: no copies are made, and none may be kept.
    """
    # before it has a backend, JAX would put the registration off, and if that failed, lose the CPU
    jax.local_devices(backend="cpu")

    def handle(pointer: Any) -> int | None:
        call = pointer.contents
        if call.extensions and call.extensions.contents.type == _METADATA:
            _state_version(call)
            return None
        try:
            if call.stage == _EXECUTE:
                inputs = _arrays(call.inputs)
                for array in inputs:
                    array.flags.writeable = False
                function(_strings(call.attributes), inputs, _arrays(call.outputs))
        except BaseException as error:  # none may pass through compiled code
            return _new_error(call, f"{type(error).__name__}: {error}")
        return None

    handler = _Handler(handle)
    _registered.append(handler)
    jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(handler), platform="cpu")


def _state_version(call: Any) -> None:
    """Answer the question for the version of the interface, asked when XLA registers a function."""
    extension = ctypes.cast(call.extensions, ctypes.POINTER(_MetadataExtension))
    version = extension.contents.metadata.contents.version
    # minor versions only append fields, and early ones do not tell their own
    minor = call.api.contents.version.minor if call.api else _FIRST_MINOR_VERSION
    version.major, version.minor = _MAJOR_VERSION, minor


def _new_error(call: Any, message: str) -> int | None:
    arguments = _NewError(message=message.encode(), code=_INTERNAL)
    arguments.size = ctypes.sizeof(arguments)
    error: int | None = call.api.contents.new_error(ctypes.byref(arguments))
    return error


def _arrays(buffers: Any) -> list[Array]:
    return [_array(buffers.buffers[index].contents) for index in range(buffers.count)]


def _array(buffer: Any) -> Array:
    shape, dtype = tuple(buffer.shape[: buffer.rank]), np.dtype(_TYPES[buffer.type])
    size = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
    if not size:
        return np.empty(shape, dtype)
    memory = (ctypes.c_char * size).from_address(buffer.data)
    return np.frombuffer(memory, dtype).reshape(shape)


def _strings(attributes: Any) -> dict[str, str]:
    places = range(attributes.count)
    return {_string(attributes.names[place]): _string(attributes.values[place]) for place in places}


def _string(text: Any) -> str:
    return ctypes.string_at(text.contents.start, text.contents.size).decode()
