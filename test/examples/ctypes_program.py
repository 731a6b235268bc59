# SPDX-License-Identifier: MIT
# The library from Python, without a binding: each call is a symbol, also those that are inline in C.
import ctypes
import sys


class Buf(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("len", ctypes.c_size_t), ("cap", ctypes.c_size_t)]


tierpool = ctypes.CDLL("libtierpool.so.0")
tierpool.tierpool_get_sized.restype = ctypes.POINTER(Buf)
tierpool.tierpool_get_sized.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
tierpool.tierpool_buf_append.argtypes = [ctypes.POINTER(Buf), ctypes.c_char_p, ctypes.c_size_t]
tierpool.tierpool_put.argtypes = [ctypes.POINTER(Buf)]
tierpool.tierpool_stats_print.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
tierpool.tierpool_destroy.argtypes = [ctypes.c_void_p]
tierpool.tierpool_destroy.restype = ctypes.c_size_t

pool = ctypes.c_void_p()
if tierpool.tierpool_create(ctypes.byref(pool), None) != 0:
    sys.exit("no pool")
b = tierpool.tierpool_get_sized(pool, 100)
for word in b"borrowed ", b"by ", b"Python":
    tierpool.tierpool_buf_append(b, word, len(word))
content = ctypes.string_at(b.contents.data, b.contents.len)
tierpool.tierpool_put(b)
print(content.decode())
tierpool.tierpool_stats_print(pool, ctypes.c_void_p.in_dll(ctypes.CDLL(None), "stdout"))
sys.exit(content != b"borrowed by Python" or tierpool.tierpool_destroy(pool) != 0)
