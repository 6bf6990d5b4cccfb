"""Continues a text: python3 generate.py MODEL TEXT. BITLOOM_LIBRARY says where libbitloom.so is, if not where the system looks."""
import ctypes
import os
import sys
from ctypes import POINTER, byref, c_char_p, c_float, c_int, c_int32, c_int64, c_size_t, c_uint64, c_void_p


class Options(ctypes.Structure):
    _fields_ = [("size", c_size_t), ("max_tokens", c_int64), ("temperature", c_float), ("top_k", c_int32),
                ("top_p", c_float), ("min_p", c_float), ("repeat_penalty", c_float), ("seed", c_uint64)]


ON_TEXT = ctypes.CFUNCTYPE(c_int, POINTER(ctypes.c_char), c_size_t, c_void_p)
lib = ctypes.CDLL(os.environ.get("BITLOOM_LIBRARY", "libbitloom.so.0.1"))
lib.bitloom_error.restype = c_char_p
lib.bitloom_load.argtypes = [c_char_p, c_void_p, POINTER(c_void_p)]
lib.bitloom_free.argtypes = [c_void_p]
lib.bitloom_tokenize.argtypes = [c_void_p, c_char_p, c_int, POINTER(c_int32), c_size_t, POINTER(c_size_t)]
lib.bitloom_generate_defaults.argtypes = [POINTER(Options), c_size_t]
lib.bitloom_generate.argtypes = [c_void_p, POINTER(c_int32), c_size_t, POINTER(Options), ON_TEXT, c_void_p, c_void_p]


def check(status):
    if status != 0:
        sys.exit("error: " + lib.bitloom_error().decode())


def main(path, text):
    model, ids, count, options = c_void_p(), (c_int32 * 4096)(), c_size_t(), Options()
    check(lib.bitloom_load(path.encode(), None, byref(model)))
    check(lib.bitloom_tokenize(model, text.encode(), 1, ids, len(ids), byref(count)))
    if count.value > len(ids):
        sys.exit("error: the text is too long")
    lib.bitloom_generate_defaults(byref(options), ctypes.sizeof(options))
    options.max_tokens, options.temperature = 32, 0
    on_text = ON_TEXT(lambda piece, length, user: print(piece[:length].decode(), end="", flush=True) or 0)
    print(text, end="", flush=True)
    check(lib.bitloom_generate(model, ids, count, byref(options), on_text, None, None))
    print()
    lib.bitloom_free(model)


main(*sys.argv[1:])
