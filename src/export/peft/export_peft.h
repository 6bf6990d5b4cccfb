#pragma once
// A quantized model whose matrices have a low-rank product (format/side/low_rank.h) as a base and a PEFT adapter:
//
//   OUT/            what transformers opens: config.json, tokenizer, every W without its product, as values on its grid
//   OUT/adapter/    what peft loads on it: lora_A = B [r, in], lora_B = A [out, r] in fp32, alpha = r (adapter.h)
//
//   PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained("OUT"), "OUT/adapter")
//
// In fp32 base and adapter together are what the model decodes to, to the rounding of one sum; in fp16, which halves
// the base, each of its weights is rounded once more. An adapter of the float model's belongs on no such base, nor this
// one on the float model.
//
// Goals: every architecture whose matrices lie in tensors of their own. Non-goals: experts that a checkpoint holds
// together; products inside a frame.

#include "export/export_model.h"

namespace bitloom {

/// Targets "peft", whose base is fp16, and "peft-f32". Error(kUsage): a model without products, one inside a frame or
/// beside an order of columns, experts in one tensor, a value that fp16 cannot hold.
ExportReport export_peft(const ExportJob& job, Context& context);
ExportReport export_peft_f32(const ExportJob& job, Context& context);

}  // namespace bitloom
