#pragma once
// A matrix that reads a reassembled input (format/activations/channel_moves.h), made of one that reads it as it is.

#include "base/memory/row_source.h"
#include "format/activations/channel_moves.h"

namespace bitloom {

/// W' of W [rows, channels], moved as it is decoded; the moves must be valid for so many channels.
RowSourcePtr moved_columns(RowSourcePtr source, Reassembly reassembly);

}  // namespace bitloom
