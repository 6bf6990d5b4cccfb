#pragma once
// The layout of the PyPI package aqlm (1.1; aqlm/inference.py, aqlm/utils.py), which transformers reads where
// config.json has quantization_config.quant_method "aqlm" (papers' learned page, 1.8). Of a linear layer P, W [out,
// in]:
//
//   P.codes      I8 for B <= 8, else I16  [out, in / G, M]   code k as k - 2^B where k >= 2^(B-1)
//   P.codebooks  F16                      [M, 2^B, 1, G]
//   P.scales     F16                      [out, 1, 1, 1]
//   W[r, j G + c] = scales[r] sum_m codebooks[m, codes[r, j, m] mod 2^B, 0, c]
//
// One M, B and G serve the whole model; linear_weights_not_to_quantize names all other linear layers. So the
// blocks' quantized matrices must all be of one storage "aqMxB-gG" (format/families/vector) without side terms, with
// inputs that G divides, that are read without formats of activations, and have tensors of their own (no experts that
// a checkpoint holds together, no Conv1D). What is quantized outside the blocks (embedding, head) is written as the
// fp16 values nearest to what it decodes to, or in fp32 where one is beyond fp16; all else keeps its type.

#include "export/export_model.h"

namespace bitloom {

/// See ExportTarget::write. Memory: one matrix's codes in 16 bits, or a piece of a dense tensor.
ExportReport export_aqlm(const ExportJob& job, Context& context);

}  // namespace bitloom
