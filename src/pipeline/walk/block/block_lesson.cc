#include "pipeline/walk/block/block_lesson.h"

#include <algorithm>
#include <utility>

namespace bitloom {
namespace {

constexpr int kInput = 0, kTarget = 1;  // slots

ActivationShape shape_of(const WalkTask& task, const std::vector<SequenceChunk>& chunks) {
  ActivationShape shape;
  for (const SequenceChunk& chunk : chunks) shape.chunk_rows.push_back(chunk.rows());
  shape.widths.assign(2, task.model->graph().hidden);
  return shape;
}

}  // namespace

bool tunes_block(const WalkTask& task, int block) {
  const std::vector<Site> sites = linear_sites(task.model->graph(), block);
  return task.tuner != nullptr && std::any_of(sites.begin(), sites.end(), [&](const Site& site) {
           return task.steps.contains(site.linear->weight);
         });
}

int64_t lesson_bytes(const WalkTask& task, const std::vector<SequenceChunk>& chunks) {
  return shape_of(task, chunks).bytes();
}

LessonKeeper::LessonKeeper(const WalkTask& task, const std::vector<SequenceChunk>& chunks)
    : task_(task), chunks_(chunks), store_(shape_of(task, chunks), task.spill_directory) {}

void LessonKeeper::keep(const BlockState& state, CalibrationStream& stream, CalibrationStream& original,
                        ThreadPool& threads) {
  const Graph& graph = task_.model->graph();
  const int64_t hidden = graph.hidden;
  Workspace work;
  for (int64_t c = 0; c < stream.chunks(); ++c) {
    work.reserve(graph, stream.rows(c));
    stream.read_entrance(c, work.hidden.data());
    store_.put(c, kInput, work.hidden.data(), hidden);
    if (state.finished || !tunes_block(task_, state.index)) continue;
    if (&original != &stream) original.read_entrance(c, work.hidden.data());
    const SequenceChunk& chunk = chunks_[static_cast<size_t>(c)];
    const Pass pass = Pass::whole(chunk.batch, chunk.length);
    state.float_runner.run(pass, work, threads);
    store_.put(c, kTarget, work.hidden.data(), hidden);
  }
}

void LessonKeeper::tune(BlockState& state, const std::function<void(double)>& advance, Context& context) {
  if (state.finished || !tunes_block(task_, state.index)) return state.take_rewritten();
  const int64_t hidden = task_.model->graph().hidden;
  FinishedMatrices finished;
  for (const SiteRecord& site : state.outcome.sites) {
    finished[site.name] = {state.outcome.quantized.at(site.name), site};
  }
  std::map<std::string, Unrounded> before;
  for (const auto& [name, weights] : state.before) before[name] = {weights, *task_.steps.at(name).quantize};
  InputFormats formats;
  for (const auto& [input, rounder] : state.rounders) formats.emplace(std::pair(state.index, input), rounder.format());
  const Model model = static_cast<const Model&>(*state.model).edited(state.finished_rewrites());
  const BlockLesson lesson{model,
                           state.index,
                           finished,
                           before,
                           formats,
                           chunks_,
                           [&](int64_t chunk, float* out) { store_.get(chunk, kInput, out, hidden); },
                           [&](int64_t chunk, float* out) { store_.get(chunk, kTarget, out, hidden); }};
  TunedBlock tuned = task_.tuner->tune(task_.tuning, task_.options->seed, lesson, advance, context);
  state.before.clear();
  for (auto& [name, matrix] : tuned.matrices) state.outcome.quantized[name] = matrix.matrix;
  for (auto& [name, values] : tuned.norms) state.outcome.rewritten[name] = std::move(values);
  state.outcome.tuning = tuned.record;
  for (const Site& site : linear_sites(task_.model->graph(), state.index)) {
    if (state.outcome.quantized.contains(site.linear->weight)) state.take_finished(site);
  }
  state.take_rewritten();
}

void LessonKeeper::return_to_entrance(CalibrationStream& stream) const {
  std::vector<float> hidden;
  for (int64_t c = 0; c < stream.chunks(); ++c) {
    hidden.resize(static_cast<size_t>(stream.rows(c) * task_.model->graph().hidden));
    store_.get(c, kInput, hidden.data(), task_.model->graph().hidden);
    stream.write_entrance(c, hidden.data());
  }
}

}  // namespace bitloom
